using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Interop.Tests;

/// <summary>OpenSSL's own client and server at the other end.</summary>
[Trait("Peer", "openssl")]
public class OpenSslTests
{
    /// <summary>What <c>-state</c> prints when the other side ends its direction as TLS demands.</summary>
    private const string SawCloseNotify = "SSL3 alert read:warning:close notify";

    [Fact]
    [Trait("Contract", "S2")]
    [Trait("Fault", "F24")]
    public async Task Echo_SClientConnects_LinesComeBackAndThenCloseNotify()
    {
        await using var place = new Place();
        await place.ServeAsync("tls", Handlers.EchoLines);
        await using Peer client = Connect(place);

        await client.SendAsync("hello\nbye\n"u8.ToArray());

        Assert.Equal("hello\nbye\n", await client.FinishAsync());
        Assert.Contains(SawCloseNotify, client.Errors, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "W3")]
    [Trait("Fault", "F24")]
    public async Task WriteEof_ClientIsSClient_ItSeesCloseNotifyThoughTheHandlerGoesOn()
    {
        await using var place = new Place();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await place.ServeAsync("tls", async (reader, writer, stopping) =>
        {
            writer.Write("that is all\n"u8);
            writer.WriteEof();
            Assert.Empty(await reader.ReadAsync(cancellationToken: stopping));
            ended.SetResult();
        });

        await using Peer client = Connect(place);

        Assert.Equal("that is all\n", await client.FinishAsync());
        Assert.Contains(SawCloseNotify, client.Errors, StringComparison.Ordinal);
        await ended.Task.WaitAsync(place.Late);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Contract", "W3")]
    [Trait("Contract", "W7")]
    [Trait("Fault", "F24")]
    public async Task Connect_SServerReverses_AnswersAndSeesCloseNotify(bool halfClose)
    {
        await using var place = new Place();
        Assert.NotNull(place.Certificate);
        await using Peer server = Peer.Start(
            "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", place.CertificateFile, "-key", place.KeyFile, "-rev", "-state");
        await using ByteStreamConnection connection = await place.ConnectAsync("tls", await PortAsync(server));
        var (reader, writer) = connection;

        writer.Write("hello\nabc\n"u8);
        Assert.Equal("olleh\n"u8.ToArray(), await reader.ReadLineAsync(place.Late));
        Assert.Equal("cba\n"u8.ToArray(), await reader.ReadLineAsync(place.Late));

        if (halfClose)
        {
            writer.WriteEof();
            Assert.Empty(await reader.ReadAsync(cancellationToken: place.Late));
        }
        else
        {
            writer.Close();
        }

        await server.WaitForErrorAsync(SawCloseNotify);
    }

    [Fact]
    [Trait("Fault", "F77")]
    public async Task Read_SClientFloodsKeyUpdates_ClosesAfterThirtyTwo()
    {
        await using var place = new Place();
        var log = new FakeLogCollector();
        using ILoggerFactory loggers = LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(log)));
        var options = new ByteStreamServerOptions { LoggerFactory = loggers };
        options.UseTelemetry();
        await place.ServeAsync("tls", Handlers.EchoLines, options);
        await using Peer client = Peer.Start("openssl", "s_client", "-connect", $"127.0.0.1:{place.Port}", "-CAfile", place.CertificateFile);

        // Twenty between two lines are no flood.
        int sent = 0;
        for (int i = 0; i < 3; i++)
        {
            await client.Input.WriteAsync("hello\n"u8.ToArray(), place.Late);
            await client.Input.FlushAsync(place.Late);
            while (await client.ReadLineAsync() != "hello")
            {
            }

            sent = await UpdateKeysAsync(client, sent, 20, place.Late);
        }

        Assert.DoesNotContain(log.GetSnapshot(), record => record.Id.Id == 700);
        _ = UpdateKeysAsync(client, sent, 13, place.Late);
        await Patience.UntilAsync(() => log.GetSnapshot().Any(record => record.Id.Id == 700));

        Assert.Contains("ended: tls_record_flood.", log.GetSnapshot().Single(record => record.Id.Id == 700).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task StartTls_SClientSpeaksSmtp_GoesOnEncrypted()
    {
        await using var place = new Place();
        Assert.NotNull(place.Certificate);
        await place.ServeAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write("220 localhost\r\n"u8);
            Assert.StartsWith("EHLO ", await reader.ReadTextLineAsync(cancellationToken: stopping), StringComparison.Ordinal);
            writer.Write("250-localhost\r\n250 STARTTLS\r\n"u8);
            Assert.Equal("STARTTLS", await reader.ReadTextLineAsync(cancellationToken: stopping));
            writer.Write("220 go ahead\r\n"u8);
            await writer.StartTlsAsync(place.ServerTls, stopping);
            await Handlers.EchoLines(reader, writer, stopping);
        });
        await using Peer client = Connect(place, "-starttls", "smtp");

        await client.SendAsync("secret\nbye\n"u8.ToArray());

        // The last answer of the plain dialogue is the only one that s_client prints.
        Assert.EndsWith("secret\nbye\n", await client.FinishAsync(), StringComparison.Ordinal);
        Assert.Contains(SawCloseNotify, client.Errors, StringComparison.Ordinal);
    }

    private static Peer Connect(Place place, params string[] more) => Peer.Start(
        "openssl", ["s_client", "-connect", $"127.0.0.1:{place.Port}", "-CAfile", place.CertificateFile,
            "-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-state", .. more]);

    /// <summary>A command is one only where it is all that s_client reads at once: each waits for the last to be seen.</summary>
    private static async Task<int> UpdateKeysAsync(Peer client, int before, int count, CancellationToken cancellationToken)
    {
        for (int i = before + 1; i <= before + count; i++)
        {
            await client.Input.WriteAsync("k\n"u8.ToArray(), cancellationToken);
            await client.Input.FlushAsync(cancellationToken);
            await Patience.UntilAsync(() => client.Errors.Split("KEYUPDATE").Length - 1, now => now >= i);
        }

        return before + count;
    }

    internal static async Task<int> PortAsync(Peer server)
    {
        // ACCEPT 127.0.0.1:36537
        string line;
        do
        {
            line = await server.ReadLineAsync();
        }
        while (!line.StartsWith("ACCEPT", StringComparison.Ordinal));
        return int.Parse(line[(line.LastIndexOf(':') + 1)..], null);
    }
}
