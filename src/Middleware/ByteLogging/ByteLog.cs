using System.Buffers;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace ByteStreams.ByteLogging;

/// <summary>Logs one connection's bytes as a hexadecimal dump: sixteen per line, followed by their ASCII.</summary>
internal sealed class ByteLog(ILogger logger, string connectionId, int most)
{
    private const int Row = 16;

    public void Bytes(string direction, in ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return;
        }

        int shown = (int)Math.Min(bytes.Length, most);
        ByteLoggingLog.Bytes(logger, connectionId, direction, bytes.Length, shown, Dump(bytes.Slice(0, shown).ToArray()));
    }

    public void End(string direction) => ByteLoggingLog.End(logger, connectionId, direction);

    internal static string Dump(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        for (int start = 0; start < bytes.Length; start += Row)
        {
            ReadOnlySpan<byte> row = bytes[start..Math.Min(start + Row, bytes.Length)];
            text.AppendLine().Append(CultureInfo.InvariantCulture, $"{start:X4} ");
            for (int i = 0; i < Row; i++)
            {
                text.Append(i < row.Length ? $" {row[i]:X2}" : "   ");
            }

            text.Append("  ");
            foreach (byte value in row)
            {
                text.Append(value is >= 0x20 and < 0x7F ? (char)value : '.');
            }
        }

        return text.ToString();
    }
}
