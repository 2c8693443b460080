using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Interop.Tests;

/// <summary>
/// The same bytes to HAProxy's accept-proxy and to ours: the same verdict, and the same addresses. Where ours is meant to differ is
/// listed here, with the reason; ours is the stricter one, or does what the protocol says.
/// </summary>
[Trait("Fault", "P7"), Trait("Fault", "F30")]
public sealed class ProxyDifferentialTests : IDisposable
{
    private const int Generated = 1500;
    private const int AtOnce = 16;
    private const string Refused = "refused";
    private const string Real = "the real addresses";
    private const string Request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    private static readonly byte[] Signature = [.. "\r\n\r\n\0\r\nQUIT\n"u8];

    /// <summary>Each with what it is about; the first that fits explains a difference.</summary>
    private static readonly (string Reason, Func<byte[], string, string, bool> Fits)[] Intended =
    [
        ("Of version 2 HAProxy (2.6) knows TCP over IPv4 and IPv6: any other family it takes for the real addresses or, as it looks for "
            + "additions in the wrong place then, refuses. Ours reads UDP's and Unix addresses, skips UNSPEC (P4), and refuses what does not exist.",
            (header, _, haproxy) => IsBinary(header) && haproxy is Real or Refused && header[13] is not (0x11 or 0x21)),
        ("What follows UNKNOWN in its line is to be ignored (P3); HAProxy takes nothing there.",
            (header, ours, haproxy) => header.AsSpan().StartsWith("PROXY UNKNOWN"u8) && ours != Refused && haproxy == Refused),
        ("HAProxy takes numbers with leading zeros, ports above 65535 and words behind the ports of version 1; two programs may read "
            + "those differently (P3).",
            (header, ours, haproxy) => IsLine(header) && ours == Refused && haproxy != Refused),
        ("HAProxy lets additions pass that it does not use, or that are broken in themselves: text that is not of its encoding, TLS facts that "
            + "overrun, a second checksum (P5); and takes headers longer than MaxHeaderBytes, 4 KiB by default (P4).",
            (header, ours, haproxy) => IsBinary(header) && ours == Refused && haproxy != Refused),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("differential-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact(Timeout = 180_000)]
    [Trait("Peer", "haproxy")]
    public async Task Receive_WhatHAProxyIsSentToo_SameVerdictAndAddressesButForTheListedDifferences_P7()
    {
        var options = new ByteStreamServerOptions();
        options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1"));
        await using ByteStreamServer server = await ByteStream.StartServerAsync(Report, new IPEndPoint(IPAddress.Loopback, 0), options, Cancel);
        int front = FreePort();
        await using Peer haproxy = await StartAsync(front);

        byte[][] headers = [.. Directory.GetFiles(Path.Combine(Root(), "test/Fuzz/corpus/proxy")).Order().Select(File.ReadAllBytes), .. Generate()];
        int same = 0;
        var taken = new HashSet<string>();
        var different = new List<string>();
        var met = new HashSet<int>();
        await Parallel.ForEachAsync(headers, new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = Cancel }, async (header, cancel) =>
        {
            string ours = await AskAsync(((IPEndPoint)server.EndPoints[0]).Port, header, cancel);
            string theirs = await AskAsync(front, header, cancel);
            lock (met)
            {
                taken.Add(ours);
                int reason = Array.FindIndex(Intended, difference => difference.Fits(header, ours, theirs));
                if (ours == theirs)
                {
                    same++;
                }
                else if (reason >= 0)
                {
                    met.Add(reason);
                }
                else
                {
                    different.Add($"{Show(header)}: {ours}; HAProxy: {theirs}");
                }
            }
        });

        Assert.True(different.Count == 0, $"{different.Count} of {headers.Length} differ and are not listed:\n{string.Join('\n', different.Take(20))}");
        // Else the comparison would be of nothing.
        Assert.True(same > headers.Length / 2, $"Only {same} of {headers.Length} were the same.");
        Assert.True(taken.Count > 200, $"Only {taken.Count} answers.");
        Assert.Contains(Refused, taken);
        Assert.Contains(Real, taken);
        Assert.Equal([], Enumerable.Range(0, Intended.Length).Except(met).Select(reason => $"Is listed and did not show: {Intended[reason].Reason}"));
    }

    /// <summary>What the handler, and HAProxy in its own words, answer a request that follows the header.</summary>
    private static async Task Report(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        string request = Encoding.Latin1.GetString(await reader.ReadUntilAsync("\r\n\r\n"u8.ToArray(), stopping));
        // Behind a header that is longer or shorter than it says stands another method, which HAProxy takes as well.
        string answer = request.EndsWith(Request["GET".Length..], StringComparison.Ordinal)
            && request[..^Request["GET".Length..].Length].All(letter => char.IsAsciiLetterOrDigit(letter) || "!#$%&'*+-.^_`|~".Contains(letter, StringComparison.Ordinal))
            ? $"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{Words(writer.RemoteEndPoint)} {Words(writer.LocalEndPoint)}"
            : "HTTP/1.1 400 Bad request\r\n\r\n";
        writer.Write(answer);
    }

    private static string Words(EndPoint? endPoint) => endPoint is IPEndPoint ip ? $"{ip.Address} {ip.Port}" : $"{endPoint} 0";

    /// <summary>Sends a header and a request; answers the two addresses, or that the header was refused.</summary>
    private static async Task<string> AskAsync(int port, byte[] header, CancellationToken cancel)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        late.CancelAfter(Patience.Limit);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port, late.Token);
        string real = ((IPEndPoint)socket.LocalEndPoint!).Port.ToString(CultureInfo.InvariantCulture);
        var answer = new StringBuilder();
        try
        {
            await socket.SendAsync((byte[])[.. header, .. Encoding.ASCII.GetBytes(Request)], late.Token);
            // A header that wants more gets the end.
            socket.Shutdown(SocketShutdown.Send);
            byte[] some = new byte[4096];
            while (await socket.ReceiveAsync(some, late.Token) is > 0 and int count)
            {
                answer.Append(Encoding.Latin1.GetString(some, 0, count));
            }
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
            // Refused with bytes unread.
        }

        string all = answer.ToString();
        if (all.Length == 0)
        {
            return Refused;
        }

        if (!all.StartsWith("HTTP/1.1 200", StringComparison.Ordinal) && !all.StartsWith("HTTP/1.0 200", StringComparison.Ordinal))
        {
            return "taken, and something else than the request follows it";
        }

        string[] words = all[(all.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..].Split(' ');
        return words[1] == real && words[0] == "127.0.0.1" ? Real : string.Join(' ', words.Select(Plain));

        // HAProxy writes no port for the port 0.
        static string Plain(string word) => word.Length == 0 ? "0" : IPAddress.TryParse(word, out IPAddress? address) && word.Contains(':', StringComparison.Ordinal)
            ? (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString()
            : word;
    }

    /// <summary>Headers that are right, nearly right, and wrong in each place.</summary>
    private static IEnumerable<byte[]> Generate()
    {
        // Always the same ones.
        var random = new Random(7);
        for (int i = 0; i < Generated; i++)
        {
            byte[] header = random.Next(2) == 0 ? Encoding.Latin1.GetBytes(Line(random)) : Binary(random);
            if (random.Next(4) == 0 && header.Length > 0)
            {
                header = Damage(random, header);
            }

            yield return header;
        }
    }

    private static string Line(Random random)
    {
        bool isV4 = random.Next(2) == 0;
        string protocol = random.Next(12) switch { 0 => "UNKNOWN", 1 => isV4 ? "TCP6" : "TCP4", 2 => "tcp4", 3 => "UDP4", _ => isV4 ? "TCP4" : "TCP6" };
        string space = random.Next(30) == 0 ? "  " : " ";
        string line = $"PROXY {protocol} {Address(random, isV4)}{space}{Address(random, isV4)} {Port(random)} {Port(random)}";
        return line + (random.Next(20) switch { 0 => "\n", 1 => " more\r\n", 2 => "", 3 => " \r\n", _ => "\r\n" });
    }

    private static string Address(Random random, bool isV4)
    {
        byte[] bytes = new byte[isV4 ? 4 : 16];
        random.NextBytes(bytes);
        string address = new IPAddress(bytes).ToString();
        return random.Next(25) switch
        {
            0 => "0" + address,
            1 => address + ".1",
            2 => isV4 ? "256.1.1.1" : "1::2::3",
            3 => isV4 ? "10.1" : "::ffff:192.0.2.1",
            4 => isV4 ? "0.0.0.0" : "::",
            5 => string.Empty,
            6 => isV4 ? "192.0.2.01" : "fe80::1%lo",
            _ => address,
        };
    }

    private static string Port(Random random) => random.Next(25) switch
    {
        0 => "65536",
        1 => "0" + random.Next(1, 100),
        2 => "-1",
        3 => "+1",
        4 => string.Empty,
        5 => "99999999999",
        6 => "0",
        _ => random.Next(65536).ToString(CultureInfo.InvariantCulture),
    };

    private static byte[] Binary(Random random)
    {
        int family = random.Next(12) switch { 0 => 0x00, 1 => 0x31, 2 => 0x12, 3 => 0x41, 4 => 0x13, 5 => 0x22, < 9 => 0x11, _ => 0x21 };
        int length = (family >> 4) switch { 1 => 12, 2 => 36, 3 => 216, _ => 0 };
        byte[] addresses = new byte[random.Next(25) == 0 ? random.Next(length + 1) : length];
        random.NextBytes(addresses);
        var body = new List<byte>(addresses);
        for (int i = random.Next(4); i > 0; i--)
        {
            body.AddRange(Addition(random));
        }

        if (random.Next(60) == 0)
        {
            body.AddRange(new byte[5000]);
        }

        int told = body.Count + (random.Next(25) == 0 ? random.Next(-3, 4) : 0);
        byte[] header = [.. Signature, (byte)(random.Next(25) switch { 0 => 0x20, 1 => 0x22, 2 => 0x11, _ => 0x21 }), (byte)family, 0, 0, .. body];
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(14), (ushort)Math.Max(0, told));
        return header;
    }

    private static byte[] Addition(Random random)
    {
        byte[] value = new byte[random.Next(8) == 0 ? random.Next(300) : random.Next(12)];
        random.NextBytes(value);
        byte type = random.Next(10) switch { 0 => 0x03, 1 => 0x20, 2 => 0x02, 3 => 0x05, 4 => 0x30, 5 => 0x04, 6 => 0x01, _ => (byte)random.Next(256) };
        int told = value.Length + (random.Next(20) == 0 ? random.Next(1, 9) : 0);
        return [type, (byte)(told >> 8), (byte)told, .. value];
    }

    private static byte[] Damage(Random random, byte[] header)
    {
        byte[] damaged = [.. header];
        int at = random.Next(damaged.Length);
        switch (random.Next(3))
        {
            case 0:
                damaged[at] ^= (byte)(1 << random.Next(8));
                return damaged;
            case 1:
                return damaged[..at];
            default:
                return [.. damaged[..at], (byte)random.Next(256), .. damaged[at..]];
        }
    }

    private static bool IsBinary(byte[] header) => header.Length >= 16 && header.AsSpan().StartsWith(Signature);

    private static bool IsLine(byte[] header) => header.AsSpan().StartsWith("PROXY "u8);

    private static string Show(byte[] header) => IsBinary(header)
        ? Convert.ToHexString(header[..Math.Min(header.Length, 120)])
        : $"'{string.Concat(Encoding.Latin1.GetString(header).Select(letter => char.IsControl(letter) ? $"\\x{(int)letter:x2}" : letter.ToString()))}'";

    private static string Root()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder!.FullName, "StreamsHost.sln")))
        {
            folder = folder.Parent;
        }

        return folder.FullName;
    }

    private static int FreePort()
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private async Task<Peer> StartAsync(int port)
    {
        string file = Path.Combine(_folder, "haproxy.cfg");
        await File.WriteAllTextAsync(file, $"""
            global
              maxconn 200
            defaults
              timeout connect 5s
              timeout client 20s
              timeout server 20s
            frontend front
              bind 127.0.0.1:{port} accept-proxy
              mode http
              http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"

            """, Cancel);
        Peer haproxy = Peer.Start("haproxy", "-db", "-f", file);
        string local = string.Create(CultureInfo.InvariantCulture, $"0100007F:{port:X4} 00000000:0000 0A");
        // In /proc: a probing connection would be one of the test's.
        await Patience.UntilAsync(
            () => File.ReadLines("/proc/net/tcp").Any(line => line.Contains(local, StringComparison.Ordinal)), observed: () => haproxy.Errors);

        return haproxy;
    }
}
