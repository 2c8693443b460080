using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>How near to the limit of open descriptors sockets may come, and what happens at the stop of their use.</summary>
public sealed class DescriptorLimitTests
{
    private const int Most = 1024;

    private readonly CountingTimeProvider _time = new();
    private readonly DescriptorLimit _limit = new(Most);
    private readonly List<Opened> _opened = [];

    [Theory]
    [InlineData(256, 226, 230, 236)]
    [InlineData(1024, 928, 944, 960)]
    [InlineData(4096, 3952, 4016, 4032)]
    [InlineData(20_000, 19_856, 19_920, 19_936)]
    [InlineData(long.MaxValue, long.MaxValue, long.MaxValue, long.MaxValue)]
    public void StopOf_EachUse_AcceptStopsBeforeConnectAndAdministrationLast(long most, long accept, long connect, long administration)
    {
        var limit = new DescriptorLimit(most);

        Assert.Equal(
            [accept, connect, administration],
            [limit.StopOf(DescriptorUse.Accept), limit.StopOf(DescriptorUse.Connect), limit.StopOf(DescriptorUse.Administration)]);
        Assert.True(limit.Allows((nint)accept - 1, DescriptorUse.Accept));
        Assert.False(limit.Allows((nint)accept, DescriptorUse.Accept));
    }

    [Fact]
    public void CountOpen_ASocketMore_IsOneMore()
    {
        // The other tests of this process open and close some as well.
        const int Many = 2000;
        int before = DescriptorLimit.CountOpen();
        Socket[] sockets = [.. Enumerable.Range(0, Many).Select(_ => new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))];
        int after = DescriptorLimit.CountOpen();
        Array.ForEach(sockets, socket => socket.Dispose());

        Assert.InRange(after - before, Many / 2, Many * 2);
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Open_NumberAtTheStop_ClosesItAndWaitsForALowerOne()
    {
        int number = (int)_limit.StopOf(DescriptorUse.Connect);
        Task<Opened> waiting = Open(() => number).AsTask();
        Assert.NotEmpty(_opened);
        Assert.All(_opened, opened => Assert.True(opened.IsDisposed));

        number--;
        await AdvanceUntil(() => waiting.IsCompleted);

        Assert.False((await waiting).IsDisposed);
        Assert.Equal(number, (await waiting).Number);
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Open_SystemHasNone_WaitsAsWell()
    {
        bool isShort = true;
        Task<Opened> waiting = Open(() => isShort ? throw new SocketException((int)SocketError.TooManyOpenSockets) : 100).AsTask();
        Assert.False(waiting.IsCompleted);

        isShort = false;
        await AdvanceUntil(() => waiting.IsCompleted);

        Assert.Equal(100, (await waiting).Number);
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Open_NoneForASecond_ThrowsForEachThatWaits()
    {
        Task<Opened>[] waiting = [.. Enumerable.Range(0, 20).Select(_ => Open(() => Most).AsTask())];

        _time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.All(waiting, each => Assert.False(each.IsCompleted));
        _time.Advance(TimeSpan.FromMilliseconds(1));

        foreach (Task<Opened> each in waiting)
        {
            SocketException error = await Assert.ThrowsAsync<SocketException>(each.Soon);
            Assert.True(DescriptorLimit.IsShortage(error));
            Assert.Contains("1024 descriptors are in use; raise the limit (ulimit -n, LimitNOFILE)", error.Message, StringComparison.Ordinal);
        }

        Assert.All(_opened, opened => Assert.True(opened.IsDisposed));
        // None is left that the next would wait for.
        Assert.Equal(3, (await Open(() => 3)).Number);
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Open_SomeWait_TheNextDoesNotOvertakeThem()
    {
        int number = Most;
        Task<Opened> first = Open(() => number).AsTask();
        number = 100;
        Task<Opened> second = Open(() => number).AsTask();
        Assert.False(second.IsCompleted);

        await AdvanceUntil(() => first.IsCompleted && second.IsCompleted);

        Assert.Equal([100, 100], [(await first).Number, (await second).Number]);
    }

    [Fact]
    public async Task Open_CancelledWhileItWaits_ThrowsThat()
    {
        using var cancel = new CancellationTokenSource();
        Task<Opened> waiting = OpenAsync(() => Most, cancel.Token).AsTask();

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(waiting.Soon);
        Assert.Equal(5, (await Open(() => 5)).Number);
    }

    [Theory]
    [InlineData(ByteStreamEngine.Socket)]
    [InlineData(ByteStreamEngine.Epoll)]
    [Trait("Fault", "F72")]
    public async Task Connect_NoDescriptorBelowTheStop_FailsAndClosesItsSocket(ByteStreamEngine engine)
    {
        Assert.SkipWhen(engine == ByteStreamEngine.Epoll && !LibC.IsSupported, "The engine needs Linux.");
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listening.Listen();
        Task<ByteStreamConnection> connect = ByteStream.OpenConnectionAsync(
            listening.LocalEndPoint!, new() { Engine = engine, TimeProvider = _time, Descriptors = new DescriptorLimit(0) }, TestContext.Current.CancellationToken);

        _time.Advance(DescriptorLimit.ConnectWait);

        Assert.True(DescriptorLimit.IsShortage(await Assert.ThrowsAsync<SocketException>(connect.Soon)));
        // Not even begun.
        Assert.False(listening.Poll(0, SelectMode.SelectRead));
    }

    private ValueTask<Opened> Open(Func<int> number) => OpenAsync(number, TestContext.Current.CancellationToken);

    private ValueTask<Opened> OpenAsync(Func<int> number, CancellationToken cancellationToken) => _limit.OpenAsync(
        () =>
        {
            var opened = new Opened(number());
            _opened.Add(opened);
            return opened;
        },
        static opened => opened.Number,
        _time,
        cancellationToken);

    private Task AdvanceUntil(Func<bool> condition) => Patience.UntilAsync(() =>
    {
        _time.Advance(TimeSpan.FromMilliseconds(1));
        return condition();
    });

    private sealed class Opened(int number) : IDisposable
    {
        public nint Number => number;

        public bool IsDisposed { get; private set; }

        public void Dispose() => IsDisposed = true;
    }
}
