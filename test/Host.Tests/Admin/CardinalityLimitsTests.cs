using System.Diagnostics.Metrics;
using StreamsHost.Admin;

namespace StreamsHost.Tests.Admin;

/// <summary>How many label sets the metrics may have.</summary>
public sealed class CardinalityLimitsTests : IDisposable
{
    private readonly Meter _meter = new("tests");

    [Theory]
    [InlineData(0, 3072, 2000)]
    [InlineData(3, 3072, 2000)]
    [InlineData(500, 24576, 4096)]
    public void Of_Endpoints_SufficesForEachReasonAndDirection(int endpoints, int byReason, int others)
    {
        var limits = CardinalityLimits.For(endpoints);

        Assert.True(limits.Endpoints >= endpoints);
        Assert.Equal(byReason, limits.Of(_meter.CreateHistogram<double>("bytestreams.connection.duration")));
        Assert.Equal(others, limits.Of(_meter.CreateCounter<long>("bytestreams.connection.io")));
    }

    public void Dispose() => _meter.Dispose();
}
