using System.Globalization;
using System.Net;
using System.Text;

namespace ByteStreams.Transport.Text;

/// <summary>
/// Text from peers as it may stand in a log: one event stays one line, and nothing that it contains changes how the others look
/// (F17).
/// </summary>
internal static class LogText
{
    /// <summary>What a peer may write into a log with one field: certificates name hosts of at most 253 characters.</summary>
    private const int Longest = 256;

    /// <summary>The text with control and format characters, line ends and lone surrogates as \u{…}, and a backslash doubled; cut after 256.</summary>
    public static string Escape(string text) => Escape(text, Longest);

    /// <summary>The same, cut after <paramref name="longest"/>.</summary>
    public static string Escape(string text, int longest)
    {
        if (text.Length <= longest && !text.AsSpan().ContainsAnyExceptInRange(' ', '~') && !text.Contains('\\', StringComparison.Ordinal))
        {
            return text;
        }

        var escaped = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (escaped.Length >= longest)
            {
                return escaped.Append('…').ToString();
            }

            if (rune.Value == '\\')
            {
                escaped.Append(@"\\");
            }
            else if (IsHarmless(rune))
            {
                escaped.Append(rune.ToString());
            }
            else
            {
                escaped.Append(CultureInfo.InvariantCulture, $@"\u{{{rune.Value:X}}}");
            }
        }

        return escaped.ToString();
    }

    /// <summary>An address; a Unix client's path is the client's own text.</summary>
    public static string Of(EndPoint? endPoint) => endPoint?.ToString() is { Length: > 0 } text ? Escape(text) : "-";

    private static bool IsHarmless(Rune rune) => rune != Rune.ReplacementChar && Rune.GetUnicodeCategory(rune) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}
