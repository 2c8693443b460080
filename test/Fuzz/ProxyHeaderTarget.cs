using System.Buffers;
using System.Net;
using ByteStreams.ProxyProtocol;

namespace ByteStreams.Fuzz;

/// <summary>
/// Any bytes are a PROXY header, the beginning of one, or none, and which of the three does not depend on how they are cut. What was
/// read and is written again is read as the same.
/// </summary>
internal static class ProxyHeaderTarget
{
    private const int Most = 4096;

    private enum Verdict
    {
        NeedsMore,
        Read,
        Refused,
    }

    public static void Run(ReadOnlySpan<byte> bytes)
    {
        (Verdict whole, ProxyHeader? header, int length) = Read(bytes);
        if (whole == Verdict.Read)
        {
            Demand.That(length > 0 && length <= bytes.Length, "It has taken more than there is.");
            Demand.That(Read(bytes[..length]).Verdict == Verdict.Read, "What follows the header decides.");
            Demand.That(Read(bytes[..(length - 1)]).Verdict == Verdict.NeedsMore, "It is read before it is whole.");
            LookAt(header!);
            WriteAndRead(header!);
        }

        // Every cut of a short one, and some of a long one.
        int step = Math.Max(1, bytes.Length / 64);
        bool refused = false;
        for (int cut = 0; cut < bytes.Length; cut += step)
        {
            (Verdict verdict, _, int cutLength) = Read(bytes[..cut]);
            Demand.That(!refused || verdict == Verdict.Refused, "It was refused, and with more bytes it is not.");
            Demand.That(verdict != Verdict.Read || (whole == Verdict.Read && cutLength == length), "Another cut is another header.");
            refused = verdict == Verdict.Refused;
        }

        Demand.That(!refused || whole == Verdict.Refused, "It was refused, and with more bytes it is not.");
    }

    private static (Verdict Verdict, ProxyHeader? Header, int Length) Read(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return ProxyHeaderReader.TryRead(bytes, Most, out ProxyHeader? header, out int length)
                ? (Verdict.Read, header, length)
                : (Verdict.NeedsMore, null, 0);
        }
        catch (ProxyHeaderException)
        {
            return (Verdict.Refused, null, 0);
        }
    }

    private static void LookAt(ProxyHeader header) =>
        _ = $"{header} {header.Authority} {header.ApplicationProtocol} {header.NetworkNamespace} {header.AwsVpcEndpointId} {header.UniqueId.Length} "
            + $"{header.Ssl?.Version} {header.Ssl?.CommonName} {header.Ssl?.Cipher} {header.Ssl?.IsClientVerified}";

    private static void WriteAndRead(ProxyHeader header)
    {
        var output = new ArrayBufferWriter<byte>();
        header.WriteTo(output, withChecksum: header.Version == 2);
        // A checksum that was not there makes it seven bytes longer.
        Demand.That(ProxyHeaderReader.TryRead(output.WrittenSpan, Most + 7, out ProxyHeader? again, out int length), "What was written needs more.");
        Demand.That(length == output.WrittenCount, "What was written is not read whole.");
        Demand.That(again!.IsLocal == header.IsLocal, "LOCAL was lost.");
        if (header.Source is not null && header.Destination is not null)
        {
            Demand.That(Equals(Plain(again.Source), Plain(header.Source)), "Another source was read.");
            Demand.That(Equals(Plain(again.Destination), Plain(header.Destination)), "Another destination was read.");
            Demand.That(again.Tlvs.Count == header.Tlvs.Count, "Additions were lost.");
        }
    }

    /// <summary>A mapped address is written as the IPv4 one that it is; and mapped where only the other one is IPv6.</summary>
    private static EndPoint? Plain(EndPoint? endPoint) =>
        endPoint is IPEndPoint { Address.IsIPv4MappedToIPv6: true } mapped ? new IPEndPoint(mapped.Address.MapToIPv4(), mapped.Port) : endPoint;
}
