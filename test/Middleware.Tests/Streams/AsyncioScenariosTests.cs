using System.Globalization;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>
/// 1,500 random scripts with what CPython 3.14's <c>asyncio.StreamReader</c> answered after every step. Everything runs inline, so
/// that "once everything that can run has run" is when a call returns.
/// </summary>
public class AsyncioScenariosTests : ReaderTestBase
{
    private const string Nothing = "nothing";

    [Fact]
    [Trait("Contract", "R2")]
    [Trait("Contract", "R3")]
    [Trait("Contract", "R4")]
    [Trait("Contract", "R5")]
    [Trait("Contract", "R6")]
    [Trait("Contract", "R7")]
    [Trait("Contract", "R10")]
    [Trait("Contract", "R11")]
    [Trait("Contract", "R12")]
    [Trait("Contract", "R13")]
    [Trait("Contract", "R15")]
    public void Replay_EveryRecordedScript_AnswersAsCPythonDid()
    {
        int scripts = 0;
        int steps = 0;
        var mismatches = new List<string>();
        foreach (JsonElement script in Scripts())
        {
            scripts++;
            steps += script.GetProperty("steps").GetArrayLength();
            if (Replay(script) is string mismatch)
            {
                mismatches.Add(mismatch);
            }
        }

        Assert.Equal(1500, scripts);
        Assert.InRange(steps, 10_000, int.MaxValue);
        Assert.True(mismatches.Count == 0, $"{mismatches.Count} of {scripts} scripts differ:\n{string.Join("\n", mismatches.Take(5))}");
    }

    private static IEnumerable<JsonElement> Scripts()
    {
        using Stream file = typeof(AsyncioScenariosTests).Assembly.GetManifestResourceStream("asyncio-scenarios.jsonl.gz")!;
        using var lines = new StreamReader(new GZipStream(file, CompressionMode.Decompress));
        while (lines.ReadLine() is string line)
        {
            yield return JsonElement.Parse(line);
        }
    }

    /// <summary>Null, or how the reader differed.</summary>
    private static string? Replay(JsonElement script)
    {
        var reader = new ByteStreamReader(PipeScheduler.Inline, script.GetProperty("limit").GetInt32());
        var failure = new IOException("the exception that was set");
        var told = new StringBuilder();
        Task<byte[]>? waiting = null;
        string called = "";
        foreach (JsonElement step in script.GetProperty("steps").EnumerateArray())
        {
            string kind = step.GetProperty("do").GetString()!;
            called = kind is "feed" or "eof" or "fail" ? called : kind;
            switch (kind)
            {
                case "feed":
                    reader.FeedData(Convert.FromHexString(step.GetProperty("data").GetString()!));
                    break;
                case "eof":
                    reader.FeedEof();
                    break;
                case "fail":
                    reader.SetException(failure);
                    break;
                case "read":
                    waiting = reader.ReadAsync(step.GetProperty("n").GetInt32(), Test).AsTask();
                    break;
                case "exactly":
                    waiting = reader.ReadExactlyAsync(step.GetProperty("n").GetInt32(), Test).AsTask();
                    break;
                case "line":
                    waiting = reader.ReadLineAsync(Test).AsTask();
                    break;
                case "until":
                    ReadOnlyMemory<byte>[] separators =
                        [.. step.GetProperty("sep").EnumerateArray().Select(hex => (ReadOnlyMemory<byte>)Convert.FromHexString(hex.GetString()!))];
                    waiting = separators.Length == 1
                        ? reader.ReadUntilAsync(separators[0], Test).AsTask()
                        : reader.ReadUntilAsync(separators, Test).AsTask();
                    break;
                default:
                    throw new InvalidDataException($"The recording has an unknown step, {kind}.");
            }

            string outcome = Nothing;
            if (waiting is { IsCompleted: true })
            {
                outcome = Describe(waiting, called, failure);
                waiting = null;
            }

            string actual = string.Create(CultureInfo.InvariantCulture, $"{outcome}, at_eof {reader.AtEof}");
            string expected = string.Create(CultureInfo.InvariantCulture, $"{Describe(step.GetProperty("then"))}, at_eof {step.GetProperty("at_eof").GetBoolean()}");
            told.Append(CultureInfo.InvariantCulture, $"\n    {Without(step)} -> {actual}");
            if (actual != expected)
            {
                return $"  script {script.GetProperty("id")}, limit {reader.Limit}:{told}\n    CPython: {expected}";
            }
        }

        return null;
    }

    private static string Describe(Task<byte[]> call, string called, Exception failure) => call.Exception?.InnerException switch
    {
        null => $"bytes {Convert.ToHexStringLower(call.GetAwaiter().GetResult())}",
        Exception error when ReferenceEquals(error, failure) => "failed",
        IncompleteReadException error => $"incomplete {Convert.ToHexStringLower(error.Partial)} of {error.Expected?.ToString(CultureInfo.InvariantCulture) ?? "null"}",
        LimitOverrunException when called == "line" => "line-limit",
        LimitOverrunException error => $"limit {error.Consumed}",
        ArgumentException => "argument",
        Exception error => error.ToString(),
    };

    private static string Describe(JsonElement then)
    {
        if (then.ValueKind == JsonValueKind.Null)
        {
            return Nothing;
        }

        if (then.TryGetProperty("bytes", out JsonElement bytes))
        {
            return $"bytes {bytes.GetString()}";
        }

        return then.GetProperty("error").GetString() switch
        {
            "incomplete" => $"incomplete {then.GetProperty("partial").GetString()} of {then.GetProperty("expected").GetRawText()}",
            "limit" => $"limit {then.GetProperty("consumed").GetInt32()}",
            string error => error!,
            null => "an error without a name",
        };
    }

    private static string Without(JsonElement step) => string.Join(' ', step.EnumerateObject()
        .Where(property => property.Name is not ("then" or "at_eof"))
        .Select(property => property.Value.ToString()));
}
