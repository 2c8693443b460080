using System.Globalization;
using System.Text.Json;

namespace StreamsHost.Output;

/// <summary>Errors for people.</summary>
internal static class ErrorText
{
    /// <summary>An error and its inner errors, in one line.</summary>
    public static string From(Exception error)
    {
        var messages = new List<string>();
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            string message = inner is JsonException { LineNumber: long line, BytePositionInLine: long position }
                // Counted from one, as editors do.
                ? string.Create(CultureInfo.InvariantCulture, $"{inner.Message.Split(" LineNumber:")[0]} Line {line + 1}, byte {position + 1}.")
                : inner.Message;
            if (!messages.Exists(known => known.Contains(message, StringComparison.Ordinal)))
            {
                messages.Add(message);
            }
        }

        return string.Join(' ', messages);
    }
}
