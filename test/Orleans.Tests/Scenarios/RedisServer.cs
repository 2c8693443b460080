using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Testing;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>The membership store of a cluster: Debian's redis-server with an append-only file in a temporary folder.</summary>
internal sealed class RedisServer : IAsyncDisposable
{
    public const string Path = "/usr/bin/redis-server";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("bytestreams-redis-");
    private readonly int _port = Ports.Free();
    private Process? _process;

    public string Address => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{_port}");

    public async Task StartAsync()
    {
        // The shell stops the server at EOF of standard input, so that it does not outlive a killed test.
        const string Script = "\"$@\" & cat > /dev/null; kill -TERM $!; wait $!";
        string[] server =
        [
            Path, "--port", _port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--dir", _folder.FullName,
            "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning",
        ];
        _process = Process.Start(new ProcessStartInfo("sh", ["-c", Script, "redis", .. server]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        await Patience.UntilAsync(IsAnsweringAsync, answers => answers);
    }

    /// <summary>Stops the server and keeps its data.</summary>
    public async Task StopAsync()
    {
        if (_process is Process process)
        {
            _process = null;
            process.StandardInput.Close();
            await process.WaitForExitAsync().WaitAsync(Patience.Limit);
            process.Dispose();
        }
    }

    /// <summary>Deletes the data of the stopped server.</summary>
    public void Empty()
    {
        _folder.Delete(recursive: true);
        _folder.Create();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _folder.Delete(recursive: true);
    }

    private async Task<bool> IsAnsweringAsync()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, _port));
            await socket.SendAsync("PING\r\n"u8.ToArray());
            byte[] answer = new byte[64];
            int count = await socket.ReceiveAsync(answer);
            return answer.AsSpan(0, count).StartsWith("+PONG"u8);
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
