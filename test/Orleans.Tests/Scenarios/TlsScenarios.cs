using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams.Testing;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>Mutual TLS between silos, as docs/cluster.md configures it.</summary>
public sealed class TlsScenarios : ClusterScenario
{
    /// <summary>The start of an Orleans handshake: its length, 64, and some of its bytes. A silo that accepts the connection waits for the others.</summary>
    private static readonly byte[] HandshakeStart = [64, 0, 0, 0, 1, 2, 3, 4];

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Tls_BetweenSilos_MessagesArriveAndAPlainConnectionIsRejected()
    {
        var authority = new TestAuthority();
        TemporaryFolder folder = Own(new TemporaryFolder());
        using X509Certificate2 certificate = authority.Issue("silo", dns: ["silo.chat"]);
        Cluster cluster = await StartAsync(
            ("Tls:Certificate", folder.Write("silo.p12", certificate.Export(X509ContentType.Pkcs12))),
            ("Tls:Authority", folder.Write("authority.pem", Encoding.ASCII.GetBytes(authority.Pem))));

        Client[] members = await Task.WhenAll(cluster.Hosts.Select(host => ConnectAsync(host, "register", "red")));
        for (int sender = 0; sender < 3; sender++)
        {
            await members[sender].SendAsync($"send group:red from-{sender}\n");
            foreach (Client member in members)
            {
                Assert.Equal($"from-{sender}", await member.TextAsync());
            }
        }

        int port = cluster.Hosts[0].At.Silo;
        await using (NetworkStream plain = await ConnectAsync(port))
        {
            byte[] received = await ReadToEndAsync(plain);
            // Nothing, or a TLS alert (RFC 8446, 5.1).
            Assert.True(received is [] or [21, ..], Convert.ToHexString(received));
        }

        using X509Certificate2 foreign = new TestAuthority("Other Authority").Issue("silo", dns: ["silo.chat"]);
        Assert.Empty(await ReadToEndOverTlsAsync(port, certificate, presented: null));
        Assert.Empty(await ReadToEndOverTlsAsync(port, certificate, foreign));
        Assert.All(await Task.WhenAll(cluster.Hosts.Select(host => host.ReadinessAsync())), status => Assert.Equal(200, status));
    }

    private static async Task<NetworkStream> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), TestContext.Current.CancellationToken);
        return new NetworkStream(socket, ownsSocket: true);
    }

    /// <summary>
    /// Connects over TLS to a silo with the expected certificate. With TLS 1.3 the silo rejects a client after the client's handshake is complete.
    /// </summary>
    /// <param name="port">The silo port.</param>
    /// <param name="expected">The silo's certificate.</param>
    /// <param name="presented">The client's certificate; null for none.</param>
    /// <returns>The bytes that the silo sends before it closes the connection.</returns>
    private static async Task<byte[]> ReadToEndOverTlsAsync(int port, X509Certificate2 expected, X509Certificate2? presented)
    {
        await using var tls = new SslStream(await ConnectAsync(port));
        try
        {
            await tls.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions
                {
                    TargetHost = "silo.chat",
                    RemoteCertificateValidationCallback = (_, remote, _, _) => expected.Equals(remote),
                    LocalCertificateSelectionCallback = (_, _, _, _, _) => presented!,
                },
                TestContext.Current.CancellationToken);
        }
        catch (IOException)
        {
            // With TLS 1.2 the handshake fails. An unexpected certificate of the silo is an AuthenticationException.
            return [];
        }

        return await ReadToEndAsync(tls);
    }

    /// <summary>Sends the start of an Orleans handshake, and reads until the connection is closed.</summary>
    private static async Task<byte[]> ReadToEndAsync(Stream stream)
    {
        using var received = new MemoryStream();
        try
        {
            await stream.WriteAsync(HandshakeStart, TestContext.Current.CancellationToken);
            await stream.CopyToAsync(received, TestContext.Current.CancellationToken).WaitAsync(Patience.Limit);
        }
        catch (IOException)
        {
            // The connection was reset, or closed with an alert.
        }

        return received.ToArray();
    }

    private sealed class TemporaryFolder : IAsyncDisposable
    {
        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("bytestreams-tls-");

        /// <summary>Writes a file and returns its path.</summary>
        public string Write(string name, byte[] content)
        {
            string path = Path.Combine(_folder.FullName, name);
            File.WriteAllBytes(path, content);
            return path;
        }

        public ValueTask DisposeAsync()
        {
            _folder.Delete(recursive: true);
            return default;
        }
    }
}
