using System.Text;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Interop.Tests;

/// <summary>CPython's asyncio streams at the other end.</summary>
[Trait("Peer", "python3")]
public class PythonTests
{
    private static readonly byte[][] Lines = [.. Enumerable.Range(0, 10_000).Select(i => Encoding.ASCII.GetBytes($"line {i}\n"))];

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("abstract")]
    [Trait("Contract", "W3")]
    [Trait("Contract", "W13")]
    [Trait("Fault", "F14")]
    public async Task Echo_PythonSends10000LinesAndHalfCloses_PythonGetsThemAllAndTheEnd(string kind)
    {
        await using var place = new Place();
        string address = await place.ServeAsync(kind, Handlers.EchoLines);

        await using Peer python = Peer.StartPython("lines_client.py", address, "10000");

        Assert.Equal("10000 lines, then the end\n", await python.FinishAsync());
    }

    [Theory]
    [InlineData("unix")]
    [InlineData("abstract")]
    [InlineData("adopted")]
    public async Task Echo_PythonPassesDescriptorsWithItsLines_AllLinesComeBackAndNoDescriptorIsKept(string kind)
    {
        // A socket that was bound elsewhere takes descriptors, as each socket does before Linux 6.16. The kernel ends a receive where
        // one was passed, although more bytes follow.
        bool refuses = kind != "adopted" && Environment.OSVersion.Version >= new Version(6, 16);
        await using var place = new Place();
        var allLieThere = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string address = await place.ServeAsync(kind, async (reader, writer, stopping) =>
        {
            await allLieThere.Task.WaitAsync(place.Late);
            await Handlers.EchoLines(reader, writer, stopping);
        });

        await using Peer python = Peer.StartPython("pass_descriptors.py", address, "40");
        Assert.Equal("sent", await python.ReadLineAsync());
        allLieThere.SetResult();

        Assert.Equal($"40 lines, {(refuses ? 20 : 0)} descriptors refused, and no process has one\n", await python.FinishAsync());
    }

    [Fact]
    [Trait("Contract", "S2")]
    public async Task Echo_PythonSends10000LinesOverTls_PythonGetsThemAllAndTheEnd()
    {
        await using var place = new Place();
        string address = await place.ServeAsync("tls", Handlers.EchoLines);

        await using Peer python = Peer.StartPython("lines_client.py", address, "10000");

        Assert.Equal("10000 lines, then the end\n", await python.FinishAsync());
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("abstract")]
    [InlineData("tls")]
    [Trait("Contract", "W3")]
    [Trait("Contract", "R14")]
    public async Task Connect_PythonServesEcho_10000LinesComeBackAndTheEnd(string kind)
    {
        await using var place = new Place();
        await using Peer python = Serve(place, kind);
        int port = int.Parse(await python.ReadLineAsync(), null);
        await using ByteStreamConnection connection = await place.ConnectAsync(kind, port);
        var (reader, writer) = connection;

        Task sending = SendAsync();
        var received = new List<byte[]>();
        await foreach (byte[] line in reader.WithCancellation(place.Late))
        {
            received.Add(line);
        }

        await sending.WaitAsync(place.Late);
        if (kind == "tls")
        {
            Assert.Equal("bye\n"u8.ToArray(), received[^1]);
            received.RemoveAt(received.Count - 1);
        }

        Assert.Equal(Lines, received);

        async Task SendAsync()
        {
            foreach (byte[] line in Lines)
            {
                writer.Write(line);
                await writer.DrainAsync(place.Late);
            }

            // Python takes a close_notify for the end of both directions, so it is asked to end instead.
            if (kind == "tls")
            {
                writer.Write("bye\n"u8);
            }
            else
            {
                writer.WriteEof();
            }
        }
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("tls")]
    [Trait("Contract", "S2")]
    public async Task Return_PythonStillHasItsDirectionOpen_PythonReadsTheReplyAndTheEnd(string kind)
    {
        await using var place = new Place();
        string address = await place.ServeAsync(kind, async (reader, writer, stopping) =>
            writer.Write(await reader.ReadLineAsync(stopping)));

        await using Peer python = Peer.StartPython("ask_client.py", address, "hello");

        Assert.Equal("b'hello\\n'\n", await python.FinishAsync());
    }

    [Fact]
    [Trait("Contract", "S1")]
    [Trait("Fault", "F40")]
    public async Task Throw_HandlerFails_PythonSeesConnectionResetError()
    {
        await using var place = new Place();
        string address = await place.ServeAsync("tcp", Handlers.Fail);

        await using Peer python = Peer.StartPython("ask_client.py", address, "boom");

        Assert.Equal("ConnectionResetError\n", await python.FinishAsync());
    }

    [Fact]
    [Trait("Fault", "F03")]
    public async Task Read_PythonResets_ThrowsConnectionReset()
    {
        await using var place = new Place();
        await using Peer python = Serve(place, "tcp");
        await using ByteStreamConnection connection = await place.ConnectAsync("tcp", int.Parse(await python.ReadLineAsync(), null));

        connection.Writer.Write("reset\n"u8);

        await Assert.ThrowsAsync<ConnectionResetException>(() => connection.Reader.ReadLineAsync(place.Late).AsTask());
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task StartTls_PythonUpgradesWithStartTls_GoesOnEncrypted()
    {
        await using var place = new Place();
        string address = await place.ServeAsync("tcp", async (reader, writer, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            writer.Write("ready\n"u8);
            await writer.StartTlsAsync(place.ServerTls, stopping);
            writer.Write(await reader.ReadLineAsync(stopping));
            await reader.ReadAsync(cancellationToken: stopping);
        });
        // The certificate's file is there before Python looks for it.
        Assert.NotNull(place.Certificate);

        await using Peer python = Peer.StartPython("starttls_client.py", address, place.CertificateFile);
        string output = await python.FinishAsync();

        Assert.SkipWhen(output == "too old\n", "THE PEER IS TOO OLD: StreamWriter.start_tls came with Python 3.11.");
        Assert.Equal("b'secret\\n' TLSv1.3\n", output);
    }

    private static Peer Serve(Place place, string kind)
    {
        Assert.NotNull(place.Certificate);
        return Peer.StartPython("echo_server.py", kind switch
        {
            "unix" => $"unix:{place.Path}",
            "abstract" => $"unix:{place.Abstract}",
            "tls" => $"tls:0:{place.CertificateFile}:{place.KeyFile}",
            _ => "tcp:0",
        });
    }
}
