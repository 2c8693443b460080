using System.Numerics;

namespace ByteStreams.ProxyProtocol;

/// <summary>The constants of the wire format, and its checksum. Source: HAProxy's proxy-protocol.txt.</summary>
internal static class ProxyHeaderFormat
{
    /// <summary>The maximum length of a version 1 line in bytes, CRLF included.</summary>
    public const int MaxLineLength = 107;

    /// <summary>The length of a version 2 header before its addresses.</summary>
    public const int FixedLength = 16;

    /// <summary>The length of one address of the Unix family.</summary>
    public const int UnixPathLength = 108;

    /// <summary>Version 2 with command LOCAL.</summary>
    public const byte LocalCommand = 0x20;

    /// <summary>Version 2 with command PROXY.</summary>
    public const byte ProxyCommand = 0x21;

    /// <summary>The first bytes of a version 2 header.</summary>
    public static ReadOnlySpan<byte> Signature => "\r\n\r\n\0\r\nQUIT\n"u8;

    /// <summary>The first bytes of a version 1 header.</summary>
    public static ReadOnlySpan<byte> LineStart => "PROXY "u8;

    /// <summary>Computes the CRC32C of a header, with the four bytes at <paramref name="field"/> taken as zero.</summary>
    public static uint Crc32C(ReadOnlySpan<byte> header, int field)
    {
        uint crc = uint.MaxValue;
        for (int i = 0; i < header.Length; i++)
        {
            crc = BitOperations.Crc32C(crc, i >= field && i < field + 4 ? (byte)0 : header[i]);
        }

        return ~crc;
    }
}
