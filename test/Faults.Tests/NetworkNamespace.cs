using System.ComponentModel;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace ByteStreams.Faults.Tests;

/// <summary>Another machine, as far as the network goes: a namespace with one cable to here, which can go dead without a word.</summary>
internal sealed partial class NetworkNamespace : IDisposable
{
    private readonly string _name = $"faults{Random.Shared.Next(0x100000):x5}";
    private readonly int _net = Random.Shared.Next(1, 255);

    public NetworkNamespace()
    {
        Ip("netns", "add", _name);
        try
        {
            Ip("link", "add", $"{_name}a", "type", "veth", "peer", "name", $"{_name}b", "netns", _name);
            Ip("addr", "add", $"{Here}/30", "dev", $"{_name}a");
            Ip("link", "set", $"{_name}a", "up");
            Ip("-n", _name, "addr", "add", $"{There}/30", "dev", $"{_name}b");
            Ip("-n", _name, "link", "set", $"{_name}b", "up");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>This side's address.</summary>
    public IPAddress Here => IPAddress.Parse($"198.18.{_net}.1");

    private IPAddress There => IPAddress.Parse($"198.18.{_net}.2");

    /// <summary>A socket of the other side, connected to this one.</summary>
    public Socket Connect(EndPoint endPoint)
    {
        Socket? socket = null;
        Exception? failure = null;
        // A socket belongs to the namespace of the thread that makes it; the thread ends with it.
        var there = new Thread(() =>
        {
            try
            {
                using SafeFileHandle handle = File.OpenHandle($"/run/netns/{_name}");
                const int networkNamespace = 0x40000000;
                if (Enter(handle, networkNamespace) != 0)
                {
                    throw new Win32Exception();
                }

                socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                socket.Connect(endPoint);
            }
            catch (Exception error)
            {
                failure = error;
            }
        });
        there.Start();
        there.Join();
        return failure is null ? socket! : throw new InvalidOperationException("The other namespace's socket could not be connected.", failure);
    }

    /// <summary>From now on nothing that the other side sends leaves it: no answer, no FIN, no RST.</summary>
    public void Vanish() => Ip("-n", _name, "route", "add", "blackhole", $"{Here}/32");

    /// <summary>Takes the other side and the cable away.</summary>
    public void Dispose() => Ip("netns", "del", _name);

    private static void Ip(params string[] arguments)
    {
        var start = new ProcessStartInfo("/usr/sbin/ip", arguments) { RedirectStandardError = true };
        using Process ip = Process.Start(start)!;
        string errors = ip.StandardError.ReadToEnd();
        ip.WaitForExit();
        if (ip.ExitCode != 0)
        {
            throw new InvalidOperationException($"ip {string.Join(' ', arguments)}: {errors}");
        }
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int Enter(SafeFileHandle handle, int kind);
}
