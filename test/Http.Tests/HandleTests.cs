using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Http.Tests;

/// <summary>Endpoints on sockets that another program, or the application itself, has bound.</summary>
public class HandleTests : HttpTest
{
    public static IEnumerable<TheoryDataRow<TestedTransport, bool, FileHandleType>> Handles =>
        from transport in Enum.GetValues<TestedTransport>()
        from isUnix in (bool[])[false, true]
        from type in Enum.GetValues<FileHandleType>()
        select Row(transport, new TheoryDataRow<TestedTransport, bool, FileHandleType>(transport, isUnix, type));

    [Theory(Timeout = 120000), MemberData(nameof(Handles))]
    public async Task ListenHandle_ListeningSocket_ServesAndKeepsItsFile(TestedTransport transport, bool isUnix, FileHandleType type)
    {
        using var folder = new TemporaryFolder();
        using Socket handle = Bind(isUnix, folder.Path);
        handle.Listen();

        await ServeAsync(transport, handle, type);

        Assert.Equal(isUnix, File.Exists(System.IO.Path.Combine(folder.Path, "s")));
    }

    /// <summary>On Kestrel's transport, the accept of a stopped application may take the next connection.</summary>
    [Theory(Timeout = 120000), InlineData(false), InlineData(true)]
    public async Task ListenHandle_OfAStoppedApplication_ServesTheNext(bool isUnix)
    {
        using var folder = new TemporaryFolder();
        using Socket handle = Bind(isUnix, folder.Path);

        for (int application = 0; application < 3; application++)
        {
            await ServeAsync(TestedTransport.ByteStreams, handle, FileHandleType.Auto);
        }
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task ListenHandle_BoundSocket_ListensOnIt(TestedTransport transport)
    {
        using Socket handle = Bind(isUnix: false, string.Empty);

        await ServeAsync(transport, handle, FileHandleType.Tcp);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task ListenHandle_NoSocket_FailsAtTheStart(TestedTransport transport)
    {
        using FileStream file = File.OpenRead(typeof(HandleTests).Assembly.Location);

        Exception? error = await Record.ExceptionAsync(
            () => StartAsync(transport, (ulong)file.SafeFileHandle.DangerousGetHandle(), FileHandleType.Auto));

        Assert.True(error is SocketException or IOException, $"It was {error}");
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task UseSystemd_TwoSocketsHandedOver_ServesBoth(TestedTransport transport)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "python3 hands the sockets over.");
        using var folder = new TemporaryFolder();
        string path = System.IO.Path.Combine(folder.Path, "s");
        await using ServerProcess server = await ServerProcess.StartAsync(
            ["/usr/bin/python3", System.IO.Path.Combine(AppContext.BaseDirectory, "activate.py"), "web=tcp", $"local={path}", "--"], transport, "systemd", 2, Soon);

        using var overTcp = new HttpClient();
        using HttpClient overUnix = ClientOf(new UnixDomainSocketEndPoint(path));
        Assert.Equal("Hello, World!", await overTcp.GetStringAsync(new Uri(server.Addresses[0], "/plain"), Soon));
        Assert.Equal("Hello, World!", await overUnix.GetStringAsync(new Uri("http://localhost/plain"), Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task CreateBoundListenSocket_UnixSocket_IsUsedAndItsFileRemoved(TestedTransport transport)
    {
        using var folder = new TemporaryFolder();
        string path = System.IO.Path.Combine(folder.Path, "s");
        int made = 0;
        await using (Application application = await Application.StartAsync(
            transport, Endpoint.Tcp, web => web.MapGet("/", () => "hello"), configure: builder =>
            {
                builder.WebHost.UseSockets(sockets =>
                {
                    Func<EndPoint, Socket> bind = sockets.CreateBoundListenSocket;
                    sockets.CreateBoundListenSocket = endpoint =>
                    {
                        made++;
                        return bind(endpoint);
                    };
                });
                builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(path));
            }))
        {
            using HttpClient client = ClientOf(new UnixDomainSocketEndPoint(path));
            Assert.Equal("hello", await client.GetStringAsync(new Uri("http://localhost/"), Soon));
            await application.Web.StopAsync(Soon);
        }

        Assert.Equal(2, made);
        Assert.False(File.Exists(path));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Listen_PortInUse_FailsAtTheStart(TestedTransport transport)
    {
        using Socket other = Bind(isUnix: false, string.Empty);
        other.Listen();

        IOException error = await Assert.ThrowsAnyAsync<IOException>(() => Application.StartAsync(
            transport, Endpoint.Unix, _ => { }, configure: builder => builder.WebHost.ConfigureKestrel(
                kestrel => kestrel.Listen((IPEndPoint)other.LocalEndPoint!))));

        Assert.IsType<AddressInUseException>(error.InnerException);
    }

    private static Socket Bind(bool isUnix, string folder)
    {
        EndPoint endPoint = isUnix ? new UnixDomainSocketEndPoint(System.IO.Path.Combine(folder, "s")) : new IPEndPoint(IPAddress.Loopback, 0);
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(endPoint);
        return socket;
    }

    private async Task ServeAsync(TestedTransport transport, Socket handle, FileHandleType type)
    {
        await using Application application = await StartAsync(transport, (ulong)handle.Handle, type);
        using HttpClient client = ClientOf(handle.LocalEndPoint!);

        Assert.Equal($"{transport == TestedTransport.ByteStreams}", await client.GetStringAsync(new Uri("http://localhost/"), Soon));
        Assert.Contains(application.Web.Urls, url => handle.LocalEndPoint is not IPEndPoint ip || url == $"http://{ip}");
        await application.Web.StopAsync(Soon);
    }

    private static Task<Application> StartAsync(TestedTransport transport, ulong handle, FileHandleType type) => Application.StartAsync(
        transport, Endpoint.Unix, RegistrationTests.MapTransport,
        configure: builder => builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(new FileHandleEndPoint(handle, type))));

    private static HttpClient ClientOf(EndPoint endPoint) => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, cancellationToken) =>
        {
            var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(endPoint, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        },
    });

    private sealed class TemporaryFolder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("bs-handle-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
