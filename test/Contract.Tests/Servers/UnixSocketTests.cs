using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using ByteStreams.Transport.Unix;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>The files of Unix sockets.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class UnixSocketTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _path;

    public UnixSocketTests() => _path = _folder.File("s.sock");

    public void Dispose() => _folder.Dispose();

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_WhereALiveServerListens_ThrowsAndLeavesItAlone()
    {
        await using var live = await Start();
        AddressInUseException inUse = await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        Assert.Contains(_path, inUse.Message, StringComparison.Ordinal);
        Assert.Contains("already in use", inUse.Message, StringComparison.Ordinal);
        await AssertEchoes();
    }

    [Theory]
    [InlineData(ByteStreamEngine.Socket)]
    [InlineData(ByteStreamEngine.Epoll)]
    public async Task Connect_NoListener_ThrowsWithTheCause(ByteStreamEngine engine)
    {
        Assert.SkipWhen(engine == ByteStreamEngine.Epoll && !OperatingSystem.IsLinux(), "epoll is Linux's");
        var options = new ByteStreamClientOptions { Engine = engine };
        SocketException none = await Assert.ThrowsAsync<SocketException>(
            () => ByteStream.OpenUnixConnectionAsync(_path, options, TestContext.Current.CancellationToken));
        Assert.Equal($"There is no socket '{_path}': its server has not started, or listens on another path.", none.Message);

        using var ended = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        ended.Bind(new UnixDomainSocketEndPoint(_path));
        SocketException refused = await Assert.ThrowsAsync<SocketException>(
            () => ByteStream.OpenUnixConnectionAsync(_path, options, TestContext.Current.CancellationToken));
        Assert.Equal($"No server listens on '{_path}': the socket's server has stopped.", refused.Message);
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_WhereALiveServersBacklogIsFull_Throws()
    {
        using Socket busy = Listen(backlog: 0);
        using Socket filler = Fill();
        await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        Assert.True(File.Exists(_path));
    }

    [Theory]
    [InlineData(ByteStreamEngine.Socket)]
    [InlineData(ByteStreamEngine.Epoll)]
    public async Task Connect_BacklogFull_WaitsUntilThereIsSpace(ByteStreamEngine engine)
    {
        Assert.SkipWhen(engine == ByteStreamEngine.Epoll && !OperatingSystem.IsLinux(), "epoll is Linux's");
        using Socket listening = Listen(backlog: 1);
        Task<ByteStreamConnection>[] connects = [.. Enumerable.Range(0, 20).Select(_ => ByteStream.OpenUnixConnectionAsync(
            _path, new() { Engine = engine }, TestContext.Current.CancellationToken))];
        await Patience.UntilAsync(() => connects.Count(connect => connect.IsCompletedSuccessfully), now => now == 2);

        for (int i = 0; i < connects.Length; i++)
        {
            (await listening.AcceptAsync(TestContext.Current.CancellationToken).Soon()).Dispose();
        }

        foreach (ByteStreamConnection connection in await Task.WhenAll(connects).Soon())
        {
            await connection.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(ByteStreamEngine.Socket)]
    [InlineData(ByteStreamEngine.Epoll)]
    public async Task Connect_BacklogFull_EndsAtTheConnectTimeout(ByteStreamEngine engine)
    {
        Assert.SkipWhen(engine == ByteStreamEngine.Epoll && !OperatingSystem.IsLinux(), "epoll is Linux's");
        using Socket listening = Listen(backlog: 0);
        using Socket filler = Fill();
        var time = new FakeTimeProvider();
        Task<ByteStreamConnection> connect = ByteStream.OpenUnixConnectionAsync(
            _path, new() { Engine = engine, TimeProvider = time, ConnectTimeout = TimeSpan.FromSeconds(5) }, TestContext.Current.CancellationToken);

        time.Advance(TimeSpan.FromSeconds(4.9));
        await Task.Yield();
        Assert.False(connect.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.1));

        TimeoutException late = await Assert.ThrowsAsync<TimeoutException>(() => connect.Soon());
        Assert.Contains("timed out after 5 s (ConnectTimeout)", late.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ByteStreamEngine.Socket)]
    [InlineData(ByteStreamEngine.Epoll)]
    public async Task Connect_BacklogFullAndCancelled_ThrowsWithTheCallersToken(ByteStreamEngine engine)
    {
        Assert.SkipWhen(engine == ByteStreamEngine.Epoll && !OperatingSystem.IsLinux(), "epoll is Linux's");
        using Socket listening = Listen(backlog: 0);
        using Socket filler = Fill();
        using var cancel = new CancellationTokenSource();
        Task<ByteStreamConnection> connect = ByteStream.OpenUnixConnectionAsync(_path, new() { Engine = engine }, cancel.Token);

        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connect.Soon());
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_WhereADeadServerLeftItsFile_ReplacesIt()
    {
        LeaveStale(_path);
        Assert.True(File.Exists(_path));
        await using var server = await Start();
        await AssertEchoes();
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_StaleFileOnShortRelativePathInDeepFolder_ReplacesIt()
    {
        // As an address the path fits; made absolute it would not.
        string folder = new('d', 95);
        string path = $"{folder}/s.sock";
        Directory.CreateDirectory(folder);
        try
        {
            LeaveStale(path);
            await using var server = await ByteStream.StartUnixServerAsync(Given.Echo, path, null, TestContext.Current.CancellationToken);
            Assert.True(server.IsServing);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_WhereAFileIsNoSocket_ThrowsAndKeepsIt()
    {
        await File.WriteAllTextAsync(_path, "precious", TestContext.Current.CancellationToken);
        AddressInUseException taken = await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        Assert.Contains("not a socket", taken.Message, StringComparison.Ordinal);
        Assert.Equal("precious", await File.ReadAllTextAsync(_path, TestContext.Current.CancellationToken));
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_WhereADirectoryIs_ThrowsAndKeepsIt()
    {
        Directory.CreateDirectory(_path);
        await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        Assert.True(Directory.Exists(_path));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Contract", "U1")]
    public async Task Start_WhereASymlinkIs_ThrowsAndKeepsItAndItsTarget(bool dangling)
    {
        string target = _folder.File("target.sock");
        if (!dangling)
        {
            LeaveStale(target);
        }

        File.CreateSymbolicLink(_path, target);
        await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        Assert.Equal(target, new FileInfo(_path).LinkTarget);
        Assert.Equal(!dangling, File.Exists(target));
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task Start_WhereADatagramSocketIs_ThrowsAndKeepsIt()
    {
        using var datagram = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        datagram.Bind(new UnixDomainSocketEndPoint(_path));
        AddressInUseException taken = await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        Assert.Contains(_path, taken.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(_path));
    }

    [Fact]
    [Trait("Contract", "U1")]
    public async Task StartServing_PathTakenMeanwhile_ThrowsAndLeavesTheOtherAlone()
    {
        // Bound and not listening, a socket looks as dead as one that was left behind.
        await using var slow = await Start(new() { StartServing = false });
        await using var quick = await Start();
        AddressInUseException taken = await Assert.ThrowsAsync<AddressInUseException>(
            () => slow.StartServingAsync(TestContext.Current.CancellationToken).Soon());
        Assert.Contains(_path, taken.Message, StringComparison.Ordinal);
        await slow.DisposeAsync();
        await AssertEchoes();
    }

    [Fact]
    [Trait("Contract", "U2")]
    public async Task Close_RemovesTheFileThatWasBound()
    {
        await using var server = await Start();
        Assert.True(File.Exists(_path));
        server.Close();
        Assert.False(File.Exists(_path));
    }

    [Fact]
    [Trait("Contract", "U2")]
    public async Task Close_AnotherFileInItsPlace_KeepsIt()
    {
        await using (await Start())
        {
            File.Delete(_path);
            await File.WriteAllTextAsync(_path, "another's", TestContext.Current.CancellationToken);
        }

        Assert.Equal("another's", await File.ReadAllTextAsync(_path, TestContext.Current.CancellationToken));
    }

    [Fact]
    [Trait("Contract", "U2")]
    public async Task Close_AnotherServerInItsPlace_KeepsItServing()
    {
        ByteStreamServer old = await Start();
        File.Delete(_path);
        await using var successor = await Start();
        await old.DisposeAsync();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        await AssertEchoes();
    }

    [Fact]
    [Trait("Contract", "U2")]
    public async Task Close_OnAdoptedSocket_KeepsItsFile()
    {
        await ServeAdopted();
        // Nor does its finalizer remove it.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.True(File.Exists(_path));

        async Task ServeAdopted()
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Bind(new UnixDomainSocketEndPoint(_path));
            await using var server = await ByteStream.StartServerAsync(Given.Echo, socket, null, TestContext.Current.CancellationToken);
            await AssertEchoes();
            server.Close();
            await Assert.ThrowsAsync<SocketException>(AssertEchoes);
        }
    }

    [Fact]
    [Trait("Contract", "U2")]
    public async Task Close_FileThatMayNotBeRemoved_ClosesAllTheSame()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to take on another user's rights for a moment.");
        using ILoggerFactory logs = Given.Logs(out FakeLogCollector collector);
        File.SetUnixFileMode(_folder.FullPath, (UnixFileMode)0b111_101_101);
        await using var server = await Start(new() { LoggerFactory = logs });
        AsNobody(server.Close);
        Assert.True(File.Exists(_path));
        await Assert.ThrowsAsync<SocketException>(AssertEchoes);
        await server.WaitClosedAsync(TestContext.Current.CancellationToken).Soon();
        Assert.Contains(_path, Assert.Single(collector.AtLeast(LogLevel.Warning)).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "U3")]
    public async Task Start_ModeAndGroup_AreSetBeforeAnybodyCanConnect()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to give a file to a group that it is no member of.");
        await using var server = await Start(new()
        {
            StartServing = false,
            UnixSocketMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupWrite,
            UnixSocketGroup = "12345",
        });
        await Assert.ThrowsAsync<SocketException>(AssertEchoes);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupWrite, File.GetUnixFileMode(_path));
        Assert.Equal("12345", (await Run("stat", "-c", "%g", _path)).Trim());
        await server.StartServingAsync(TestContext.Current.CancellationToken).Soon();
        await AssertEchoes();
    }

    [Theory]
    [InlineData("a file")]
    [InlineData("a socket")]
    [Trait("Contract", "U3")]
    public async Task Permissions_LinkInTheSocketsPlace_ChangeNeitherItNorWhatItNames(string what)
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to give a file to a group that it is no member of.");
        LeaveStale(_path);
        FileIdentity bound = FileIdentity.Get(_path)!.Value;
        string victim = _folder.File("victim");
        if (what == "a file")
        {
            await File.WriteAllTextAsync(victim, "", TestContext.Current.CancellationToken);
        }
        else
        {
            LeaveStale(victim);
        }

        string before = await Run("stat", "-c", "%a %g", victim);
        File.Delete(_path);
        File.CreateSymbolicLink(_path, victim);

        Assert.False(UnixSocketPermissions.TrySet(_path, bound, (UnixFileMode)0b111_111_111, "12345"));
        Assert.Equal(before, await Run("stat", "-c", "%a %g", victim));
        Assert.Equal("0", (await Run("stat", "-c", "%g", _path)).Trim());

        // Were the link there before the first look, it would be changed itself, or nothing: whether a link has a mode is the file system's.
        FileIdentity link = FileIdentity.Get(_path)!.Value;
        Assert.False(link.IsSocket);
        Assert.True(Record.Exception(() => UnixSocketPermissions.TrySet(_path, link, (UnixFileMode)0b111_111_111, "12345")) is null or IOException);
        Assert.Equal(before, await Run("stat", "-c", "%a %g", victim));
    }

    [Fact]
    [Trait("Contract", "U3")]
    public async Task Permissions_FileThatIsGoneOrAnother_AreNotSet()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Files are told apart by their inodes.");
        LeaveStale(_path);
        FileIdentity bound = FileIdentity.Get(_path)!.Value;
        File.Move(_path, _folder.File("elsewhere"));
        Assert.False(UnixSocketPermissions.TrySet(_path, bound, (UnixFileMode)0b111_111_111, null));
        LeaveStale(_path);
        string before = await Run("stat", "-c", "%a", _path);
        Assert.False(UnixSocketPermissions.TrySet(_path, bound, (UnixFileMode)0b111_111_111, null));
        Assert.Equal(before, await Run("stat", "-c", "%a", _path));
        Assert.True(UnixSocketPermissions.TrySet(_folder.File("elsewhere"), bound, (UnixFileMode)0b110_000_000, null));
        Assert.Equal("600", (await Run("stat", "-c", "%a", _folder.File("elsewhere"))).Trim());
    }

    [Fact]
    [Trait("Contract", "U3")]
    public async Task Start_Mode_IsSet()
    {
        await using var server = await Start(new() { UnixSocketMode = UnixFileMode.UserWrite });
        Assert.Equal(UnixFileMode.UserWrite, File.GetUnixFileMode(_path));
    }

    [Fact]
    [Trait("Contract", "U3")]
    public async Task Start_GroupByName_IsSet()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to give a file to a group that it is no member of.");
        await using var server = await Start(new() { UnixSocketGroup = "daemon" });
        Assert.Equal("daemon", (await Run("stat", "-c", "%G", _path)).Trim());
    }

    [Fact]
    [Trait("Contract", "U3")]
    public async Task Start_UnknownGroup_NamesItAndLeavesNoFile()
    {
        IOException error = await Assert.ThrowsAsync<IOException>(() => Start(new() { UnixSocketGroup = "no-such-group" }).Soon());
        Assert.Contains("no-such-group", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_path));
    }

    [Fact]
    [Trait("Contract", "U4")]
    public async Task Start_AbstractName_IsServedWithoutAFile()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The abstract namespace is Linux'.");
        string name = "@bs-" + Guid.NewGuid();
        await using var server = await ByteStream.StartUnixServerAsync(Given.Echo, name, null, TestContext.Current.CancellationToken);
        await AssertEchoes(name);
        AddressInUseException inUse = await Assert.ThrowsAsync<AddressInUseException>(
            () => ByteStream.StartUnixServerAsync(Given.Echo, name, null, TestContext.Current.CancellationToken).Soon());
        Assert.Contains(name, inUse.Message, StringComparison.Ordinal);
        server.Close();
        await Assert.ThrowsAsync<SocketException>(() => AssertEchoes(name));
        Assert.False(File.Exists(name));
    }

    [Fact]
    [Trait("Contract", "U4")]
    public async Task Start_PathTooLong_NamesTheLimitInBytes()
    {
        // 107 bytes fit, umlauts count two.
        string longest = _path + new string('x', UnixSocketPath.MaxBytes - _path.Length);
        await using (await ByteStream.StartUnixServerAsync(Given.Echo, longest, null, TestContext.Current.CancellationToken))
        {
            Assert.True(File.Exists(longest));
        }

        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(
            () => ByteStream.StartUnixServerAsync(Given.Echo, longest[..^1] + "ü", null, TestContext.Current.CancellationToken).Soon());
        Assert.Contains($"{UnixSocketPath.MaxBytes + 1} bytes", error.Message, StringComparison.Ordinal);
        Assert.Contains($"limit is {UnixSocketPath.MaxBytes}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("missing/s.sock")]
    [InlineData("file/s.sock")]
    [Trait("Contract", "U4")]
    public async Task Start_NoSuchDirectory_NamesIt(string relative)
    {
        await File.WriteAllTextAsync(_folder.File("file"), "no directory", TestContext.Current.CancellationToken);
        string path = _folder.File(relative);
        IOException error = await Assert.ThrowsAsync<IOException>(
            () => ByteStream.StartUnixServerAsync(Given.Echo, path, null, TestContext.Current.CancellationToken).Soon());
        Assert.Contains($"no directory '{Path.GetDirectoryName(path)}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "U4")]
    public void Start_DirectoryNotWritable_NamesThePermission()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to take on another user's rights for a moment.");
        File.SetUnixFileMode(_folder.FullPath, (UnixFileMode)0b111_101_101);
        AssertDenied("permission is denied");
    }

    [Fact]
    [Trait("Contract", "U4")]
    public void Start_DirectoryNotSearchable_NamesThePermissionAndNoMissingDirectory()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to take on another user's rights for a moment.");
        File.SetUnixFileMode(_folder.FullPath, (UnixFileMode)0b111_000_000);
        AssertDenied("permission is denied");
    }

    [Fact]
    [Trait("Contract", "U4")]
    public void Start_StaleFileNotRemovable_NamesThePermission()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to take on another user's rights for a moment.");
        LeaveStale(_path);
        File.SetUnixFileMode(_path, (UnixFileMode)0b110_110_110);
        File.SetUnixFileMode(_folder.FullPath, (UnixFileMode)0b111_101_101);
        AssertDenied("permission to remove");
        Assert.True(File.Exists(_path));
    }

    [Fact]
    [Trait("Contract", "U4")]
    public void Start_ExistingSocketNotAccessible_NamesThePermission()
    {
        Assert.SkipUnless(IsLinuxRoot, "Needs root on Linux, to take on another user's rights for a moment.");
        LeaveStale(_path);
        File.SetUnixFileMode(_path, (UnixFileMode)0b110_000_000);
        File.SetUnixFileMode(_folder.FullPath, (UnixFileMode)0b111_111_111);
        AssertDenied("permission to the existing socket is denied");
        Assert.True(File.Exists(_path));
    }

    [Fact]
    [Trait("Fault", "F44")]
    public async Task Start_AfterTheLastServerWasKilled_ServesAtOnce()
    {
        using var child = new Process
        {
            StartInfo = new ProcessStartInfo("python3")
            {
                ArgumentList = { "-c", "import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('up', flush=True); time.sleep(60)", _path },
                RedirectStandardOutput = true,
            },
        };
        try
        {
            child.Start();
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("python3 is not installed.");
        }

        Assert.Equal("up", await child.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken).Soon());
        await Assert.ThrowsAsync<AddressInUseException>(() => Start().Soon());
        child.Kill();
        await child.WaitForExitAsync(TestContext.Current.CancellationToken).Soon();
        Assert.True(File.Exists(_path));
        await using var server = await Start();
        await AssertEchoes();
    }

    private static bool IsLinuxRoot => OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess;

    /// <summary>What a server that was killed leaves: the runtime would remove the file with the socket, so only the handle is closed.</summary>
    private static void LeaveStale(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
#pragma warning disable CA1816 // The socket's finalizer would delete the file.
        GC.SuppressFinalize(socket);
#pragma warning restore CA1816
        socket.SafeHandle.Dispose();
    }

    private static async Task<string> Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken).Soon();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).Soon();
        return output;
    }

    /// <summary>Runs with the file rights of a user who is nobody: Linux keeps them per thread (setfsuid(2)).</summary>
    private static void AsNobody(Action action)
    {
        ExceptionDispatchInfo? error = null;
        var thread = new Thread(() =>
        {
            _ = SetFileSystemUser(65534);
            try
            {
                action();
            }
            catch (Exception thrown)
            {
                error = ExceptionDispatchInfo.Capture(thrown);
            }
            finally
            {
                _ = SetFileSystemUser(0);
            }
        });
        thread.Start();
        thread.Join();
        error?.Throw();
    }

    [DllImport("libc", EntryPoint = "setfsuid")]
    private static extern int SetFileSystemUser(uint id);

    private void AssertDenied(string expected)
    {
        // The bind is done before the first await, on the calling thread.
        Task<ByteStreamServer> start = Task.FromException<ByteStreamServer>(new InvalidOperationException("not started"));
        AsNobody(() => start = Start());
        IOException error = Assert.IsType<IOException>(start.Exception?.InnerException);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Contains(_path, error.Message, StringComparison.Ordinal);
    }

    /// <summary>Listens and accepts nothing.</summary>
    private Socket Listen(int backlog)
    {
        var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(_path));
        listening.Listen(backlog);
        return listening;
    }

    /// <summary>Takes the one place of a backlog of zero.</summary>
    private Socket Fill()
    {
        var filler = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        filler.Connect(new UnixDomainSocketEndPoint(_path));
        return filler;
    }

    private Task<ByteStreamServer> Start(ByteStreamServerOptions? options = null) =>
        ByteStream.StartUnixServerAsync(Given.Echo, _path, options, TestContext.Current.CancellationToken);

    private Task AssertEchoes() => AssertEchoes(_path);

    private static async Task AssertEchoes(string path)
    {
        await using ByteStreamConnection client = await ByteStream.OpenUnixConnectionAsync(path, null, TestContext.Current.CancellationToken).Soon();
        client.Writer.Write("x\n");
        Assert.Equal("x\n"u8.ToArray(), await client.Line());
    }
}
