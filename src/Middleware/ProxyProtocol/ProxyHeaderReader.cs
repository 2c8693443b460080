namespace ByteStreams.ProxyProtocol;

/// <summary>
/// Reads a PROXY header of version 1 or 2. Input that two implementations could understand differently is rejected (P3 to P5).
/// Source: HAProxy's proxy-protocol.txt.
/// </summary>
internal static class ProxyHeaderReader
{
    /// <summary>Reads the header at the start of <paramref name="input"/>.</summary>
    /// <param name="input">The bytes received so far.</param>
    /// <param name="maxLength">The maximum length of a version 2 header in bytes.</param>
    /// <param name="header">The header, once it is complete.</param>
    /// <param name="length">The length of the header in bytes, once it is complete.</param>
    /// <returns>False while more bytes are needed.</returns>
    /// <exception cref="ProxyHeaderException">The input is not the start of a valid header.</exception>
    public static bool TryRead(ReadOnlySpan<byte> input, int maxLength, out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        if (input.IsEmpty)
        {
            return false;
        }

        // The two versions differ in their first byte.
        return input[0] == ProxyHeaderFormat.Signature[0]
            ? ProxyHeaderV2Reader.TryRead(input, maxLength, out header, out length)
            : ProxyHeaderV1Reader.TryRead(input, out header, out length);
    }

    /// <summary>Throws if <paramref name="input"/>, which may be incomplete, does not start with <paramref name="expected"/>.</summary>
    /// <exception cref="ProxyHeaderException">It does not.</exception>
    public static void ThrowIfNotStarting(ReadOnlySpan<byte> input, ReadOnlySpan<byte> expected)
    {
        if (!expected.StartsWith(input[..Math.Min(input.Length, expected.Length)]))
        {
            throw new ProxyHeaderException("The connection does not begin with a PROXY header.");
        }
    }
}
