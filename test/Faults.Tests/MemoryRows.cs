using System.Net.Sockets;

namespace ByteStreams.Faults.Tests;

/// <summary>Rows about a process that has little memory: 48 MiB for managed objects, as in a container of 64 MiB.</summary>
public sealed class MemoryRows : ProcessTest
{
    private static readonly string[] LittleMemory = ["/usr/bin/env", "DOTNET_GCHeapHardLimit=0x3000000"];

    private static readonly byte[] Unfinished = [.. Enumerable.Repeat((byte)'x', 60_000)];

    [Fact, Trait("Fault", "F83")]
    public async Task F83_LinesWithoutEndForMoreThanTheMemory_OthersAreServedAndTheProcessLives()
    {
        // Their lines are 120 MB, and the blocks for them 170.
        const int Peers = 2000;
        ServerProcess host = await HostAsync(LittleMemory, 0);
        var peers = new List<Socket>();
        while (peers.Count < Peers)
        {
            Socket peer = Connect(host.EndPoint);
            peer.Blocking = false;
            _ = peer.Send(Unfinished, SocketFlags.None, out _);
            peers.Add(peer);
            if (peers.Count % 250 == 0)
            {
                await EchoAsync(host.EndPoint);
            }
        }

        await EchoAsync(host.EndPoint);
        Assert.Contains(host.Output, line => line.Contains("more than MaxBufferedBytes", StringComparison.Ordinal));

        // Their memory is released with them, and a long line is served again.
        peers.ForEach(peer => peer.Dispose());
        await EchoAsync(Connect(host.EndPoint), new string('y', 60_000) + "\n");
        Assert.Equal(0, await host.StopAsync());
    }

    [Fact, Trait("Fault", "F83")]
    public async Task F83_FiveThousandIdleClients_AreServedAndDrained()
    {
        const int Clients = 5000;
        ServerProcess host = await HostAsync(LittleMemory, 0);
        Socket[] clients = [.. Enumerable.Range(0, Clients).Select(_ => Connect(host.EndPoint))];
        for (int i = 0; i < Clients; i += 100)
        {
            await EchoAsync(clients[i], "served\n");
        }

        Assert.Equal(0, await host.StopAsync());
    }
}
