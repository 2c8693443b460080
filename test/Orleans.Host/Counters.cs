using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace ByteStreams.Cluster.Host;

/// <summary>The metrics of the meter ByteStreams as text, one line each: <c>name{tag=value,...} number</c>. A histogram is reported as its count.</summary>
internal sealed class Counters : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, double> _counted = new();
    private readonly ConcurrentDictionary<string, double> _observed = new();
    private readonly Lock _gate = new();

    public Counters()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument.Meter.Name == "ByteStreams")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.Start();
    }

    public override string ToString()
    {
        lock (_gate)
        {
            _observed.Clear();
            _listener.RecordObservableInstruments();
            IEnumerable<string> lines = _counted.Concat(_observed)
                .Select(value => string.Create(CultureInfo.InvariantCulture, $"{value.Key} {value.Value}\n"))
                .Order(StringComparer.Ordinal);
            return string.Concat(lines);
        }
    }

    public void Dispose() => _listener.Dispose();

    private void Record(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var texts = new List<string>();
        foreach ((string name, object? tag) in tags)
        {
            texts.Add($"{name}={tag}");
        }

        string key = texts.Count == 0 ? instrument.Name : $"{instrument.Name}{{{string.Join(',', texts)}}}";
        if (instrument.IsObservable)
        {
            _observed[key] = value;
        }
        else
        {
            _counted.AddOrUpdate(key, Increment(), (_, sum) => sum + Increment());
        }

        double Increment() => instrument is Histogram<double> or Histogram<long> ? 1 : value;
    }
}
