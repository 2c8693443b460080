using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams;
using ByteStreams.Tls;
using ByteStreams.Transport.Text;

namespace StreamsHost.Commands;

/// <summary>
/// A client for people and scripts, as <c>nc -N</c> and <c>openssl s_client</c> are used: standard input goes to the connection, which is
/// half-closed at its end; what the peer sends goes to standard output, and the peer's end is the program's.
/// </summary>
internal sealed class ConnectCommand : HostSubcommand
{
    /// <summary>What shells say of a program that SIGINT or SIGPIPE has ended: 128 and the signal's number.</summary>
    private const int Interrupted = 130;

    private const int OutputGone = 141;

    private readonly ClientArguments _client;
    private readonly Option<bool> _crlf = new("--crlf") { Description = "Send each line's end as CR LF." };
    private readonly Option<bool> _verbose = new("--verbose", "-v") { Description = "Tell on standard error whom it is connected to, by which TLS, and how it ended." };

    public ConnectCommand()
        : base(
            "connect",
            "Connects standard input and output to a TCP, TLS or Unix socket. The input's end is passed on; the peer's end ends the program.",
            "connect tcp://127.0.0.1:7007",
            "connect unix:/run/app/app.sock < request.bin > answer.bin",
            "connect tls://db.example:7443 --ca ca.pem --cert client.crt --key client.key --verbose")
    {
        _client = new ClientArguments(this, TimeSpan.FromSeconds(10));
        Add(_crlf);
        Add(_verbose);
        SetAction(RunAsync);
    }

    public override bool TakesConfiguration => false;

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        Client client = _client.Read(parsed);
        client.WatchForCertificateRequest();
        bool verbose = parsed.GetValue(_verbose);
        Transfer? transfer = null;
        try
        {
            await using ByteStreamConnection connection = await client.OpenAsync(cancellationToken);
            if (verbose)
            {
                Describe(connection.Writer);
            }

            using Stream input = Console.OpenStandardInput();
            using var output = new StandardOutput();
            try
            {
                transfer = new Transfer(connection, input, output) { Crlf = parsed.GetValue(_crlf) };
                await transfer.RunAsync(cancellationToken);
                if (verbose)
                {
                    Console.Error.WriteLine(string.Create(
                        CultureInfo.InvariantCulture, $"the peer has ended: {transfer.Sent} bytes sent, {transfer.Received} bytes received"));
                }

                return 0;
            }
            catch
            {
                // Nobody is left to take what is still on its way.
                connection.Writer.Abort();
                throw;
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return Interrupted;
        }
        catch (StandardOutput.GoneException)
        {
            return OutputGone;
        }
        catch (IOException lost)
        {
            // In TLS 1.3 the refusal comes after the handshake, and SslStream on Linux sends no alert.
            string remedy = transfer is { Received: 0 } ? client.CertificateRemedy : string.Empty;
            throw new CommandException($"{client.Url}: {lost.Message}{remedy}", lost);
        }
    }

    private static void Describe(ByteStreamWriter writer)
    {
        Console.Error.WriteLine($"connected to {Address(writer.RemoteEndPoint)} from {Address(writer.LocalEndPoint)}");
        if (writer.TlsProtocol is null)
        {
            return;
        }

        string protocol = writer.ApplicationProtocol.Protocol.IsEmpty ? "none" : LogText.Escape(Encoding.UTF8.GetString(writer.ApplicationProtocol.Protocol.Span));
        Console.Error.WriteLine($"TLS {TlsFacts.VersionOf(writer.TlsProtocol.Value)}, {writer.CipherSuite}, application protocol {protocol}");
        if (writer.PeerCertificate is X509Certificate2 certificate)
        {
            Console.Error.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"certificate {LogText.Escape(certificate.Subject)}, issued by {LogText.Escape(certificate.Issuer)}, valid until {certificate.NotAfter.ToUniversalTime():u}"));
        }
    }

    private static string Address(System.Net.EndPoint? endPoint) => endPoint?.ToString() is { Length: > 0 } text ? text.Replace('\0', '@') : "an unnamed socket";
}
