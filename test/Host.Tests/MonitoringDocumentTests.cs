using System.Text.Json;
using System.Text.RegularExpressions;
using YamlDotNet.RepresentationModel;

namespace StreamsHost.Tests;

/// <summary>docs/monitoring: dashboard and alerts use metrics and labels that the host exports, and each alert has a runbook and tests.</summary>
public sealed partial class MonitoringDocumentTests
{
    private const string Rules = "docs/monitoring/prometheus-rules.yml";
    private const string Dashboard = "docs/monitoring/grafana-dashboard.json";

    /// <summary>Labels that Prometheus and its histograms add, and the series of OpenTelemetry's overflow.</summary>
    private static readonly string[] PrometheusLabels = ["__name__", "job", "instance", "le", "otel_metric_overflow"];

    /// <summary>The pages that list the metrics of the library and of ByteStreams.Orleans.</summary>
    private static readonly string[] MetricDocuments = ["docs/telemetry.md", "docs/cluster.md"];

    private static readonly string[] Severities = ["warning", "critical"];

    /// <summary>The dashboard shows whether the last reload was applied; its times are for a query.</summary>
    private static readonly string[] NotOnTheDashboard =
        ["bytestreams_config_last_reload_success_timestamp_seconds", "bytestreams_config_last_reload_timestamp_seconds"];

    public static TheoryData<string> Files => [Dashboard, Rules, "docs/monitoring/prometheus-rules.test.yml"];

    [Theory]
    [MemberData(nameof(Files))]
    public void Metric_OfTheFile_IsExported(string file)
    {
        HashSet<string> exported = [.. Instruments().SelectMany(Series)];
        HashSet<string> labels = LabelNames();
        string[] used = [.. MetricName().Matches(Repository.Read(file)).Select(match => match.Value).Where(name => !labels.Contains(name)).Distinct()];

        Assert.NotEmpty(used);
        Assert.Empty(used.Except(exported));
    }

    [Fact]
    public void Metric_OfTheLibrary_IsOnTheDashboard()
    {
        string dashboard = Repository.Read(Dashboard);

        Assert.Equal(
            NotOnTheDashboard,
            Instruments()
                .Where(metric => !Series(metric).Any(series => dashboard.Contains($"{series}{{", StringComparison.Ordinal)))
                .Select(metric => metric.Name)
                .Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Label_OfTheFile_IsOfTheMeter(string file)
    {
        string text = Repository.Read(file).Replace("\\\"", "\"", StringComparison.Ordinal);
        IEnumerable<string> matched = Selector().Matches(text).SelectMany(match => match.Groups[1].Captures).Select(capture => capture.Value);
        IEnumerable<string> grouped = Grouping().Matches(text).SelectMany(match => match.Groups[1].Value.Split(',', StringSplitOptions.TrimEntries));

        Assert.NotEmpty(matched);
        Assert.Empty(matched.Concat(grouped).Distinct().Except([.. LabelNames(), .. PrometheusLabels]));
    }

    [Fact]
    public void CloseReason_OfARule_IsOne()
    {
        string telemetry = Repository.Read("docs/telemetry.md");
        IEnumerable<string> expressions = Alerts().Select(alert => Scalar(alert, "expr"));
        string[] reasons = [.. expressions.SelectMany(expression => CloseReasons().Matches(expression)).SelectMany(match => Alternatives(match.Groups[1].Value)).Distinct()];

        Assert.NotEmpty(reasons);
        Assert.All(reasons, reason => Assert.Contains($"| `{reason}` |", telemetry, StringComparison.Ordinal));
    }

    [Fact]
    public void Alert_Each_HasDurationSeveritySummaryRunbookAndTests()
    {
        string operations = Repository.Read("docs/operations.md");
        string tests = Repository.Read("docs/monitoring/prometheus-rules.test.yml");

        Assert.All(Alerts(), alert =>
        {
            string name = Scalar(alert, "alert");
            var annotations = (YamlMappingNode)alert["annotations"];
            Assert.Matches("^[0-9]+[mh]$", Scalar(alert, "for"));
            Assert.Contains(Scalar((YamlMappingNode)alert["labels"], "severity"), Severities);
            Assert.EndsWith(".", Scalar(annotations, "summary"), StringComparison.Ordinal);
            Assert.Equal($"docs/operations.md#{name.ToLowerInvariant()}", Scalar(annotations, "runbook"));
            Assert.Contains($"\n#### {name}\n", operations, StringComparison.Ordinal);
            Assert.Contains($"alertname: {name}\n", tests, StringComparison.Ordinal);
            Assert.Contains($"alertname: {name}, exp_alerts: [] }}", tests, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Panel_Each_HasItsOwnIdAndAreaAndTheVariableDataSource()
    {
        JsonElement dashboard = JsonElement.Parse(Repository.Read(Dashboard));
        JsonElement[] panels = [.. dashboard.GetProperty("panels").EnumerateArray()];
        IEnumerable<JsonElement> variables = dashboard.GetProperty("templating").GetProperty("list").EnumerateArray();
        JsonElement[] drawn = [.. panels.Where(panel => panel.GetProperty("type").GetString() != "row")];

        Assert.Equal(panels.Length, panels.Select(panel => panel.GetProperty("id").GetInt32()).Distinct().Count());
        Assert.All(drawn, panel => Assert.NotEqual("", panel.GetProperty("description").GetString()));
        Assert.All(
            [.. drawn, .. drawn.SelectMany(panel => panel.GetProperty("targets").EnumerateArray()), .. variables.Where(variable => variable.GetProperty("type").GetString() == "query")],
            part => Assert.Equal("${datasource}", part.GetProperty("datasource").GetProperty("uid").GetString()));
        var cells = panels.Select(panel => panel.GetProperty("gridPos")).SelectMany(Cells).ToList();
        Assert.Equal(cells.Count, cells.Distinct().Count());
        Assert.All(cells, cell => Assert.InRange(cell.X, 0, 23));
    }

    private static IEnumerable<(int X, int Y)> Cells(JsonElement area) =>
        from x in Enumerable.Range(area.GetProperty("x").GetInt32(), area.GetProperty("w").GetInt32())
        from y in Enumerable.Range(area.GetProperty("y").GetInt32(), area.GetProperty("h").GetInt32())
        select (x, y);

    private static IEnumerable<YamlMappingNode> Alerts()
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(Repository.Read(Rules)));
        var groups = (YamlSequenceNode)((YamlMappingNode)stream.Documents[0].RootNode)["groups"];
        return groups.SelectMany(group => (YamlSequenceNode)group["rules"]).Cast<YamlMappingNode>();
    }

    private static string Scalar(YamlMappingNode node, string key) => ((YamlScalarNode)node[key]).Value!;

    /// <summary>What a regular expression of alternatives, with at most one group, stands for.</summary>
    private static IEnumerable<string> Alternatives(string pattern) =>
        Alternative().Matches(pattern).SelectMany(match => match.Groups[2].Success
            ? match.Groups[2].Value.Split('|').Select(part => match.Groups[1].Value + part)
            : [match.Value]);

    /// <summary>The instruments of telemetry.md and cluster.md as OpenTelemetry's exporter names them for Prometheus.</summary>
    private static IEnumerable<(string Name, string Kind)> Instruments() =>
        from file in MetricDocuments
        from Match row in InstrumentRow().Matches(Repository.Read(file))
        let kind = row.Groups[2].Value
        let unit = row.Groups[3].Value switch { "By" => "_bytes", "s" => "_seconds", _ => "" }
        let name = row.Groups[1].Value.Replace('.', '_')
        select ((name.EndsWith(unit, StringComparison.Ordinal) ? name : name + unit) + (kind == "counter" ? "_total" : ""), kind);

    private static IEnumerable<string> Series((string Name, string Kind) metric) =>
        metric.Kind == "histogram" ? [metric.Name + "_bucket", metric.Name + "_sum", metric.Name + "_count"] : [metric.Name];

    private static HashSet<string> LabelNames() =>
        [.. from Match row in LabelRow().Matches(Repository.Read("docs/telemetry.md")) from Match label in Quoted().Matches(row.Value) select label.Groups[1].Value.Replace('.', '_')];

    [GeneratedRegex("bytestreams_[a-z_]+")]
    private static partial Regex MetricName();

    [GeneratedRegex(@"^\| `(bytestreams[a-z_.]+)` \| (\w+) \| `([^`]+)` \|", RegexOptions.Multiline)]
    private static partial Regex InstrumentRow();

    /// <summary>A row of the table of the section Meter.</summary>
    [GeneratedRegex(@"(?<=\n## Meter\n(?:(?!\n## )[\s\S])*)^\| `[^|]+\|", RegexOptions.Multiline)]
    private static partial Regex LabelRow();

    [GeneratedRegex("`([a-z_.]+)`")]
    private static partial Regex Quoted();

    [GeneratedRegex("""\{(?:([a-z_]+)(?:=~|!=|!~|=)"[^"]*",? ?)+\}""")]
    private static partial Regex Selector();

    [GeneratedRegex(@"\bby \(([^)]*)\)")]
    private static partial Regex Grouping();

    [GeneratedRegex("""bytestreams_close_reason=~?"([^"]+)""")]
    private static partial Regex CloseReasons();

    [GeneratedRegex(@"([a-z_]+)(?:\(([^)]*)\))?")]
    private static partial Regex Alternative();
}
