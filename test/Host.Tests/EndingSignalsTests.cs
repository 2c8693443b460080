using Microsoft.Extensions.Time.Testing;
using StreamsHost.Lifetime;

namespace StreamsHost.Tests;

/// <summary>Which signals ask for an end, and which belong to an earlier one.</summary>
public sealed class EndingSignalsTests
{
    private readonly FakeTimeProvider _time = new();

    [Theory]
    [InlineData(0, EndingRequest.None)]
    [InlineData(1, EndingRequest.None)]
    [InlineData(100, EndingRequest.None)]
    [InlineData(101, EndingRequest.Abort)]
    [InlineData(60_000, EndingRequest.Abort)]
    internal void Receive_SecondSignal_AbortsOnlyAfterAHundredMilliseconds(int milliseconds, EndingRequest expected)
    {
        var signals = new EndingSignals(_time);
        Assert.Equal(EndingRequest.Drain, signals.Receive());

        _time.Advance(TimeSpan.FromMilliseconds(milliseconds));

        Assert.Equal(expected, signals.Receive());
    }

    [Fact]
    public void Receive_SignalsAtShortIntervals_CountFromTheFirst()
    {
        var signals = new EndingSignals(_time);
        var received = new List<EndingRequest>();
        for (int i = 0; i < 5; i++)
        {
            received.Add(signals.Receive());
            _time.Advance(TimeSpan.FromMilliseconds(40));
        }

        Assert.Equal([EndingRequest.Drain, EndingRequest.None, EndingRequest.None, EndingRequest.Abort, EndingRequest.None], received);
    }
}
