using ByteStreams.Transport;
using ByteStreams.Transport.Epoll;

namespace ByteStreams.Contract.Tests;

/// <summary>What counts as a blocking handler: its own waits and computing, not what the library and the runtime do meanwhile.</summary>
public sealed class BlockingPolicyTests : IDisposable
{
    private readonly BlockingSuspicion _listener = new();

    public BlockingPolicyTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The engine with event loops is for Linux.");
        LoopDispatch.Begin(new LoopDispatch());
    }

    public void Dispose() => LoopDispatch.Begin(null);

    [Fact]
    public void EndApart_HandlerComputesForLong_RaisesTheSuspicion()
    {
        Run(Compute);

        Assert.True(_listener.IsRaised);
    }

    [Fact]
    public void EndApart_HandlerIsShort_DoesNot()
    {
        Run(static () => { });

        Assert.False(_listener.IsRaised);
    }

    [Fact]
    public void EndApart_HandshakeComputesForLong_DoesNot()
    {
        Run(static () =>
        {
            LoopDispatch.NoteHandshake();
            Compute();
        });

        Assert.False(_listener.IsRaised);
    }

    [Fact]
    public void EndApart_HandlerComputesForLongAfterAHandshakeBefore_RaisesTheSuspicion()
    {
        Run(LoopDispatch.NoteHandshake);
        Run(Compute);

        Assert.True(_listener.IsRaised);
    }

    [Fact]
    public void EndApart_CollectorRunsMeanwhile_DoesNot()
    {
        Run(static () =>
        {
            Compute();
            GC.Collect(0);
        });

        Assert.False(_listener.IsRaised);
    }

    private void Run(Action handler)
    {
        var policy = new BlockingPolicy(_listener);
        BlockingPolicy.Dispatch dispatch = BlockingPolicy.BeginApart();
        handler();
        policy.EndApart(dispatch);
    }

    /// <summary>Uses three milliseconds of the processor.</summary>
    private static void Compute()
    {
        int thread = ThreadActivity.Current();
        TimeSpan until = ThreadActivity.ProcessorTime(thread)!.Value + TimeSpan.FromMilliseconds(3);
        while (ThreadActivity.ProcessorTime(thread) < until)
        {
            Thread.SpinWait(100);
        }
    }
}
