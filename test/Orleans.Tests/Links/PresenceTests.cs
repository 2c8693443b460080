using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace ByteStreams.Cluster.Tests.Links;

/// <summary>Presence queries that are canceled, or whose answers fail.</summary>
public sealed class PresenceTests : IDisposable
{
    private readonly LinkedHosts _hosts = new();

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose() => _hosts.Dispose();

    [Fact(Timeout = 60000)]
    public async Task Presence_TokenFiresBeforeTheAnswers_ThrowsWithTheToken()
    {
        LinkedHost[] hosts = await StartAsync();
        _hosts.Answers = _ => new TaskCompletionSource<IReadOnlyList<PresentConnection>>().Task;
        using var token = new CancellationTokenSource();

        Task<PresenceSnapshot> asking = hosts[0].Connections.Group("red").PresenceAsync(token.Token).AsTask();
        Assert.False(asking.IsCompleted);
        await token.CancelAsync();

        OperationCanceledException canceled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking.WaitAsync(Patience.Limit, Test));
        Assert.Equal(token.Token, canceled.CancellationToken);
        Assert.True(asking.IsCanceled);
    }

    [Fact(Timeout = 60000)]
    public async Task Presence_OneQueryFails_HasTheAnswersOfTheOthersAndIsIncomplete()
    {
        LinkedHost[] hosts = await StartAsync();
        PresentConnection present = new("id", "anna", default);
        _hosts.Answers = to => to.Equals(hosts[1].Address)
            ? Task.FromException<IReadOnlyList<PresentConnection>>(new IOException("reset"))
            : Task.FromResult<IReadOnlyList<PresentConnection>>([present]);

        PresenceSnapshot snapshot = await hosts[0].Connections.Group("red").PresenceAsync(Test);

        Assert.False(snapshot.IsComplete);
        Assert.Equal(["id"], snapshot.Connections.Select(connection => connection.Id));
        Assert.Equal([$"Presence query to host {hosts[1].Address} failed."], hosts[0].Log.Collector.GetSnapshot().Where(line => line.Id.Id == 757).Select(line => line.Message));
    }

    /// <summary>The transport fails a call after its own timeout, which is longer than LinkTimeout.</summary>
    [Theory(Timeout = 60000)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Presence_QueriesFailAfterTheWaitHasEnded_ExceptionsAreObserved(bool isCanceled)
    {
        string name = $"late {isCanceled}";
        var unobserved = new ConcurrentQueue<string>();
        void OnUnobserved(object? sender, UnobservedTaskExceptionEventArgs ended)
        {
            foreach (Exception failure in ended.Exception.InnerExceptions.Where(failure => failure.Message == name))
            {
                unobserved.Enqueue(failure.Message);
            }
        }

        LinkedHost[] hosts = await StartAsync();
        TaskScheduler.UnobservedTaskException += OnUnobserved;
        try
        {
            await FailLateAsync(hosts[0], isCanceled, name);
            for (int i = 0; i < 5; i++)
            {
                // On another thread, because the stack of this one may refer to the tasks.
                await Task.Run(Collect, Test);
            }
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= OnUnobserved;
        }

        Assert.Empty(unobserved);
    }

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    // A method of its own, so that no variable of the test refers to the tasks.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private async Task FailLateAsync(LinkedHost host, bool isCanceled, string name)
    {
        var calls = new ConcurrentQueue<TaskCompletionSource<IReadOnlyList<PresentConnection>>>();
        _hosts.Answers = _ =>
        {
            var call = new TaskCompletionSource<IReadOnlyList<PresentConnection>>();
            calls.Enqueue(call);
            return call.Task;
        };
        using var token = new CancellationTokenSource();
        Task<PresenceSnapshot> asking = host.Connections.Group("red").PresenceAsync(token.Token).AsTask();
        if (isCanceled)
        {
            await token.CancelAsync();
        }
        else
        {
            await _hosts.AdvanceUntilAsync(() => asking.IsCompleted);
        }

        await ((Task)asking).WaitAsync(Patience.Limit, Test).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Assert.Equal(isCanceled ? TaskStatus.Canceled : TaskStatus.RanToCompletion, asking.Status);
        Assert.Equal(2, calls.Count);
        foreach (TaskCompletionSource<IReadOnlyList<PresentConnection>> call in calls)
        {
            call.SetException(new TimeoutException(name));
        }

        _hosts.Answers = null;
    }

    /// <summary>Starts three hosts; the second and the third have a member of the group red.</summary>
    private async Task<LinkedHost[]> StartAsync()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        await hosts[1].ConnectAsync(null, "red");
        await hosts[2].ConnectAsync(null, "red");
        return hosts;
    }
}
