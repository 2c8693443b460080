using System.Globalization;
using System.Text;

namespace ByteStreams.Testing;

/// <summary>Bytes as a string literal shows them.</summary>
internal static class ByteText
{
    /// <summary>More than this is cut: a message is for people.</summary>
    private const int Most = 200;

    public static string Of(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder("\"");
        foreach (byte value in bytes[..Math.Min(bytes.Length, Most)])
        {
            text.Append(value switch
            {
                (byte)'\n' => "\\n",
                (byte)'\r' => "\\r",
                (byte)'\t' => "\\t",
                (byte)'"' => "\\\"",
                (byte)'\\' => @"\\",
                >= 32 and < 127 => ((char)value).ToString(),
                _ => string.Create(CultureInfo.InvariantCulture, $"\\x{value:X2}"),
            });
        }

        text.Append('"');
        return bytes.Length > Most ? text.Append(CultureInfo.InvariantCulture, $"... ({bytes.Length} bytes)").ToString() : text.ToString();
    }
}
