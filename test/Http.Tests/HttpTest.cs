namespace ByteStreams.Http.Tests;

/// <summary>Tests that run on Kestrel's transport and on this library's, and demand the same of both.</summary>
public abstract class HttpTest : IDisposable
{
    private readonly CancellationTokenSource _deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);

    protected HttpTest() => _deadline.CancelAfter(TimeSpan.FromSeconds(15));

    public static IEnumerable<TheoryDataRow<TestedTransport>> Transports =>
        Enum.GetValues<TestedTransport>().Select(transport => Row(transport, new TheoryDataRow<TestedTransport>(transport)));

    public static IEnumerable<TheoryDataRow<TestedTransport, Endpoint>> Endpoints =>
        from transport in Enum.GetValues<TestedTransport>()
        from endpoint in Enum.GetValues<Endpoint>()
        select Row(transport, new TheoryDataRow<TestedTransport, Endpoint>(transport, endpoint));

    public static IEnumerable<TheoryDataRow<TestedTransport, Endpoint, Departure>> Departures =>
        from transport in Enum.GetValues<TestedTransport>()
        from endpoint in Enum.GetValues<Endpoint>()
        from departure in Enum.GetValues<Departure>()
        select Row(transport, new TheoryDataRow<TestedTransport, Endpoint, Departure>(transport, endpoint, departure));

    /// <summary>No await of a test lasts longer than this: stock Kestrel needs milliseconds.</summary>
    protected CancellationToken Soon => _deadline.Token;

    public void Dispose()
    {
        _deadline.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The runner selects one transport by the trait: <c>--filter-trait Transport=Stock</c>.</summary>
    protected static TRow Row<TRow>(TestedTransport transport, TRow row)
        where TRow : TheoryDataRowBase => row.WithTrait("Transport", transport.ToString());

    private protected static TaskCompletionSource Signal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private protected static TaskCompletionSource<T> Signal<T>() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private protected Task<RawClient> ConnectAsync(Application application) => RawClient.ConnectAsync(application, Soon);
}
