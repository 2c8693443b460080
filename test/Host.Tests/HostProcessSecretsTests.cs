using System.Diagnostics;
using ByteStreams;

namespace StreamsHost.Tests;

/// <summary>A file for each key, in the folder that SecretsDirectory names.</summary>
public sealed class HostProcessSecretsTests : IDisposable
{
    private readonly string _secrets = Directory.CreateTempSubdirectory("streamshost-secrets-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Run_SecretsDirectory_IsOverTheFileAndUnderTheCommandLine()
    {
        // The file says that chat chats, and the command line where it listens: HostProcess puts it on a free port.
        await WriteAsync("ByteStreams__Endpoints__chat__Handler", "discard\n");
        await WriteAsync("ByteStreams__Endpoints__chat__Url", "tcp://no.such.host.invalid:1\n");
        await using HostProcess host = HostProcess.Start($"--SecretsDirectory={_secrets}");
        await host.WaitUntilUpAsync();

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("chat"), cancellationToken: Cancel);
        client.Writer.Write("nobody answers\n");
        client.Writer.WriteEof();

        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F46")]
    public async Task Run_SecretsSwappedAsKubernetesDoes_AreTakenOver()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "mv -T is GNU's");
        // A link for each key into ..data, which is a link to the folder of the moment; the swap renames a link over ..data.
        const string key = "ByteStreams__Endpoints__echo__Handler";
        await WriteAsync("..1/" + key, "echo");
        await WriteAsync("..2/" + key, "discard");
        // The looks compare times, and these two were written within one tick of the file system's clock.
        File.SetLastWriteTimeUtc(Path.Combine(_secrets, "..1", key), DateTime.UtcNow.AddMinutes(-1));
        File.CreateSymbolicLink(Path.Combine(_secrets, "..data"), "..1");
        File.CreateSymbolicLink(Path.Combine(_secrets, key), "..data/" + key);
        await using HostProcess host = HostProcess.Start($"--SecretsDirectory={_secrets}");
        await host.WaitUntilUpAsync();
        await using ByteStreamConnection open = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);
        await AnswersAsync(open);

        File.CreateSymbolicLink(Path.Combine(_secrets, "..data_tmp"), "..2");
        using (Process rename = Process.Start("mv", ["-T", Path.Combine(_secrets, "..data_tmp"), Path.Combine(_secrets, "..data")]))
        {
            await rename.WaitForExitAsync(Cancel);
        }

        await host.WaitForLineAsync("Endpoint echo was changed");

        await using ByteStreamConnection late = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);
        late.Writer.Write("nobody answers\n");
        late.Writer.WriteEof();
        Assert.Empty(await late.Reader.ReadAsync(cancellationToken: Cancel));
        await AnswersAsync(open);
    }

    [Theory(Timeout = 120000)]
    [Trait("Fault", "F45")]
    [InlineData("/no/such/folder", "SecretsDirectory: there is no folder '/no/such/folder'. Create it, or remove the key.")]
    [InlineData("secrets", "SecretsDirectory: 'secrets' is a relative path, which would depend on the current folder. Write an absolute path.")]
    public async Task Run_NoSuchSecretsDirectory_ExitsWithOneClearMessage(string folder, string message)
    {
        await using HostProcess host = HostProcess.Start($"--SecretsDirectory={folder}");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        Assert.Equal(message, errors.TrimEnd());
    }

    public void Dispose() => Directory.Delete(_secrets, recursive: true);

    private static async Task AnswersAsync(ByteStreamConnection connection)
    {
        connection.Writer.Write("hello\n");
        Assert.Equal("hello\n"u8.ToArray(), await connection.Reader.ReadLineAsync(Cancel));
    }

    private Task WriteAsync(string name, string text)
    {
        string path = Path.Combine(_secrets, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        return File.WriteAllTextAsync(path, text, Cancel);
    }
}
