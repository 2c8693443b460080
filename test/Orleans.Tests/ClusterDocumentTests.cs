using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;

namespace ByteStreams.Cluster.Tests;

/// <summary>docs/cluster.md has the metrics of the links and the code of TLS between hosts, as the code has them.</summary>
public sealed partial class ClusterDocumentTests
{
    [Fact]
    public void Metrics_Document_HasEachWithKindUnitAndMeaning() => Assert.Equal(
        Instruments().Select(instrument => $"| `{instrument.Name}` | {Kind(instrument)} | `{instrument.Unit}` | {instrument.Description!.TrimEnd('.')} |"),
        MetricRow().Matches(Repository.Read("docs/cluster.md")).Select(row => row.Value));

    /// <summary>TlsScenarios runs the code of the host program.</summary>
    [Fact]
    public void Tls_Document_HasTheCodeOfTheTestedHost() => Assert.Equal(TlsOptions("test/Orleans.Host/Program.cs"), TlsOptions("docs/cluster.md"));

    private static string TlsOptions(string file)
    {
        // The file names differ.
        string[] lines = [.. Repository.Read(file).Split('\n').Select(line => line.Trim())];
        int begin = Array.FindIndex(lines, line => line.EndsWith("tls =>", StringComparison.Ordinal));
        return string.Join('\n', lines[(begin + 1)..(Array.IndexOf(lines, "});", begin) + 1)]);
    }

    private static List<Instrument> Instruments()
    {
        // Other tests create meters concurrently.
        var factory = new SingleMeterFactory();
        var found = new List<Instrument>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, _) =>
        {
            if (ReferenceEquals(instrument.Meter, factory.Meter))
            {
                found.Add(instrument);
            }
        };
        using var metrics = new ClusterMetrics(factory);
        listener.Start();
        return found;
    }

    private static string Kind(Instrument instrument)
    {
        string type = instrument.GetType().Name;
        return type[..type.IndexOf('`', StringComparison.Ordinal)].Replace("Observable", "", StringComparison.Ordinal).ToLowerInvariant();
    }

    [GeneratedRegex(@"^\| `bytestreams\.cluster\..*$", RegexOptions.Multiline)]
    private static partial Regex MetricRow();

    private sealed class SingleMeterFactory : IMeterFactory
    {
        public Meter? Meter { get; private set; }

        public Meter Create(MeterOptions options) => Meter = new Meter(options);

        public void Dispose() => Meter?.Dispose();
    }
}
