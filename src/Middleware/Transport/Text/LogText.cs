using System.Globalization;
using System.Net;
using System.Text;

namespace ByteStreams;

/// <summary>
/// Escapes text from peers for logs and terminals: one event stays one line, and no control character changes how other lines look (F17).
/// </summary>
public static class LogText
{
    /// <summary>What a peer may write into a log with one field: certificates name hosts of at most 253 characters.</summary>
    private const int Longest = 256;

    /// <summary>Escapes control and format characters, line ends and lone surrogates as <c>\u{…}</c>, doubles backslashes, and truncates to 256 characters.</summary>
    /// <param name="text">The text.</param>
    public static string Escape(string text) => Escape(text, Longest);

    /// <summary>Escapes and truncates to a length.</summary>
    /// <param name="text">The text.</param>
    /// <param name="longest">The number of characters after which the escaped text is truncated.</param>
    public static string Escape(string text, int longest)
    {
        ArgumentNullException.ThrowIfNull(text);
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
    internal static string Of(EndPoint? endPoint) => endPoint?.ToString() is { Length: > 0 } text ? Escape(text) : "-";

    private static bool IsHarmless(Rune rune) => rune != Rune.ReplacementChar && Rune.GetUnicodeCategory(rune) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}
