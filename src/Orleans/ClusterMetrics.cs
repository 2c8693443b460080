using System.Diagnostics.Metrics;
using ByteStreams.Connections;

namespace ByteStreams.Cluster;

/// <summary>The metrics of the links, in the meter <c>ByteStreams</c>.</summary>
internal sealed class ClusterMetrics : IDisposable
{
    private readonly Meter _meter;
    private long _batches;
    private long _resent;
    private long _duplicates;
    private long _fenced;
    private long _lost;

    public ClusterMetrics(IMeterFactory? factory)
    {
        _meter = factory?.Create(ByteStreamMetrics.MeterName) ?? new Meter(ByteStreamMetrics.MeterName);
        _meter.CreateObservableUpDownCounter("bytestreams.cluster.hosts", () => Hosts(), "{host}", "Live hosts of the cluster, including this host.");
        _meter.CreateObservableUpDownCounter("bytestreams.cluster.suspect_hosts", () => Suspects(), "{host}", "Suspect hosts: no answer for LinkTimeout.");
        _meter.CreateObservableUpDownCounter("bytestreams.cluster.ready", () => IsReady() ? 1 : 0, "{host}", "1 if this host is ready to serve clients, 0 otherwise.");
        _meter.CreateObservableUpDownCounter("bytestreams.cluster.queued", () => Queued(), "By", "Bytes queued for other hosts.");
        _meter.CreateObservableCounter("bytestreams.cluster.batches", () => Interlocked.Read(ref _batches), "{batch}", "Batches sent to other hosts.");
        _meter.CreateObservableCounter("bytestreams.cluster.resent", () => Interlocked.Read(ref _resent), "{batch}", "Batches resent without an acknowledgement.");
        _meter.CreateObservableCounter("bytestreams.cluster.duplicates", () => Interlocked.Read(ref _duplicates), "{batch}", "Duplicate batches received and discarded.");
        _meter.CreateObservableCounter("bytestreams.cluster.fenced", () => Interlocked.Read(ref _fenced), "{batch}", "Batches from evicted hosts, rejected.");
        _meter.CreateObservableCounter("bytestreams.cluster.lost", () => LostMessages, "{message}", "Messages dropped because a host did not answer.");
    }

    public long LostMessages => Interlocked.Read(ref _lost);

    public long ResentBatches => Interlocked.Read(ref _resent);

    public long DuplicateBatches => Interlocked.Read(ref _duplicates);

    public long FencedBatches => Interlocked.Read(ref _fenced);

    public Func<int> Hosts { get; set; } = () => 0;

    public Func<int> Suspects { get; set; } = () => 0;

    public Func<bool> IsReady { get; set; } = () => false;

    public Func<long> Queued { get; set; } = () => 0;

    public void Sent() => Interlocked.Increment(ref _batches);

    public void Resent() => Interlocked.Increment(ref _resent);

    public void Duplicate() => Interlocked.Increment(ref _duplicates);

    public void Fenced() => Interlocked.Increment(ref _fenced);

    public void Lost(int messages) => Interlocked.Add(ref _lost, messages);

    public void Dispose() => _meter.Dispose();
}
