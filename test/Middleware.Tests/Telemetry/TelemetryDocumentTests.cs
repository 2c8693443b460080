using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Reflection;
using System.Text;
using System.Xml.Linq;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Middleware.Tests.Telemetry;

/// <summary>docs/telemetry.md names every metric, every reason and every line of the log, as the code has them.</summary>
public class TelemetryDocumentTests
{
    private const string Document = "docs/telemetry.md";
    private const string Begin = "<!-- Generated from the meter, ConnectionCloseReason and the log messages of the code: do not edit down to the end. -->";

    private static readonly SettingDescriptions Descriptions = new(XDocument.Load(Path.Combine(AppContext.BaseDirectory, "ByteStreams.xml")));

    [Fact]
    public void Generate_Document_IsWhatIsInDocs() => Repository.Compare(Document, typeof(TelemetryDocumentTests), current =>
    {
        int begin = current.IndexOf(Begin, StringComparison.Ordinal);
        Assert.True(begin >= 0, $"{Document} has no line '{Begin}', behind which its tables begin.");
        return current[..(begin + Begin.Length)] + "\n" + Generate();
    });

    [Fact]
    public void Generate_ReasonThatNamesAMethod_HasNoParameters() =>
        Assert.Equal("An operator aborted it (`Abort`).", Descriptions.Of(typeof(ConnectionCloseReason), nameof(ConnectionCloseReason.ClosedByOperator)));

    private static string Generate()
    {
        var text = new StringBuilder();
        Head(text, "Metrics", "Metric", "Kind", "Unit", "Meaning");
        foreach (Instrument instrument in Instruments())
        {
            Row(text, $"`{instrument.Name}`", Kind(instrument), $"`{instrument.Unit}`", instrument.Description!);
        }

        Head(text, "Reasons", "Reason", "Meaning");
        foreach (ConnectionCloseReason reason in Enum.GetValues<ConnectionCloseReason>())
        {
            Row(text, $"`{CloseReasonText.GetText(reason)}`", Descriptions.Of(typeof(ConnectionCloseReason), reason.ToString()));
        }

        Head(text, "Log", "Id", "Level", "Message");
        foreach (LoggerMessageAttribute message in Messages())
        {
            Row(text, $"{message.EventId}", $"{message.Level}", message.Message);
        }

        return text.ToString();
    }

    private static List<Instrument> Instruments()
    {
        // Other tests make meters meanwhile.
        var found = new ConcurrentQueue<Instrument>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, _) => found.Enqueue(instrument);
        using var metrics = new ByteStreamMetrics(null);
        listener.Start();
        return [.. found.Where(instrument => instrument.Meter.Name == ByteStreamMetrics.MeterName).DistinctBy(instrument => instrument.Name)];
    }

    /// <summary>As OpenTelemetry calls it: a counter, an updowncounter, a gauge or a histogram.</summary>
    private static string Kind(Instrument instrument)
    {
        string type = instrument.GetType().Name;
        return type[..type.IndexOf('`', StringComparison.Ordinal)].Replace("Observable", string.Empty, StringComparison.Ordinal).ToLowerInvariant();
    }

    private static IEnumerable<LoggerMessageAttribute> Messages() => typeof(ByteStreamReader).Assembly.GetTypes()
        .SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.DeclaredOnly))
        .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>())
        .OfType<LoggerMessageAttribute>()
        .OrderBy(message => message.EventId);

    private static void Head(StringBuilder text, string title, params string[] columns)
    {
        text.Append("\n### ").Append(title).Append("\n\n");
        Row(text, columns);
        text.Append(string.Concat(columns.Select(_ => "|---"))).Append("|\n");
    }

    private static void Row(StringBuilder text, params string[] cells) =>
        text.Append("| ").AppendJoin(" | ", cells.Select(cell => cell.Replace("|", "\\|", StringComparison.Ordinal))).Append(" |\n");
}
