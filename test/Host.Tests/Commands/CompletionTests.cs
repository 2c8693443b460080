using ByteStreams.Interop.Tests;

namespace StreamsHost.Tests.Commands;

/// <summary>Suggestions for incomplete command lines, and the scripts that ask for them, in real shells on a terminal.</summary>
public sealed class CompletionTests
{
    [Theory(Timeout = 60000)]
    [InlineData("re", "relay")]
    [InlineData("completion ", "bash fish zsh")]
    [InlineData("relay --c", "--ca --cert --client-ca")]
    [InlineData("relay tcp://*:1 unix:/a --send-proxy ", "V1 V2")]
    [InlineData("connect tcp://127.0.0.1:1 --ver", "--verbose")]
    // What has files or free text as its value: the shell's own.
    [InlineData("relay ", "")]
    [InlineData("--config ", "")]
    // Configuration keys, of commands that take them.
    [InlineData("--B", "--ByteStreams:")]
    [InlineData("--S", "--SecretsDirectory=")]
    [InlineData("check --ByteStreams:Endpoints:a:Ur", "--ByteStreams:Endpoints:a:Url=")]
    [InlineData("--bytestreams:endpoints:a:certificates", "")]
    [InlineData("--ByteStreams:Endpoints:a:Tls:Certificates:0:S", "--ByteStreams:Endpoints:a:Tls:Certificates:0:Store= --ByteStreams:Endpoints:a:Tls:Certificates:0:StoreLocation= --ByteStreams:Endpoints:a:Tls:Certificates:0:Subject=")]
    [InlineData("--ByteStreams:Endpoints:a:Relay:Up", "--ByteStreams:Endpoints:a:Relay:Upstreams=")]
    [InlineData("--ByteStreams:Endpoints:a:Engine=e", "--ByteStreams:Endpoints:a:Engine=Epoll")]
    [InlineData("--Admin:Enabled=", "--Admin:Enabled=true --Admin:Enabled=false")]
    [InlineData("--ByteStreams:Endpoints:a:Url=tcp://*:1 --no", "--no-config")]
    [InlineData("bench --By", "")]
    [InlineData("--None:Such:Key", "")]
    [InlineData("-=", "")]
    [InlineData("-a=b", "")]
    [InlineData("=", "")]
    public async Task Suggest_Line_SuggestsTheLastWord(string line, string expected)
    {
        CliResult result = await Cli.RunAsync($"[suggest:{line.Length}]", line);

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
        Assert.Equal(expected.Split(' ', StringSplitOptions.RemoveEmptyEntries), result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact(Timeout = 60000)]
    public async Task Suggest_CursorWithinTheLine_SuggestsTheWordBeforeIt()
    {
        CliResult result = await Cli.RunAsync("[suggest:3]", "rel --cert x");

        Assert.Equal("relay\n", result.Output);
    }

    [Fact(Timeout = 60000)]
    public async Task Completion_UnknownShell_IsAnErrorThatNamesTheKnownOnes()
    {
        CliResult result = await Cli.RunAsync("completion", "tcsh");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("'tcsh'", result.Errors, StringComparison.Ordinal);
        Assert.Contains("'bash'", result.Errors, StringComparison.Ordinal);
    }

    [Fact(Timeout = 60000)]
    [Trait("Peer", "python3")]
    public Task Bash_Tab_Completes() => CompletesAsync("source <(streamshost completion bash)", "bash", "--norc", "--noprofile", "-i");

    [Fact(Timeout = 60000)]
    [Trait("Peer", "python3")]
    [Trait("Peer", "zsh")]
    public Task Zsh_Tab_Completes() =>
        CompletesAsync("bindkey -e; unset zle_bracketed_paste; autoload -U compinit; compinit -u -D; source <(streamshost completion zsh)", "zsh", "-f", "-i");

    [Fact(Timeout = 60000)]
    [Trait("Peer", "python3")]
    [Trait("Peer", "fish")]
    public Task Fish_Tab_Completes() => CompletesAsync("streamshost completion fish | source", "fish", "--no-config");

    private static async Task CompletesAsync(string setup, params string[] shell)
    {
        await using (Peer installed = Peer.Start(shell[0], "--version"))
        {
            await installed.FinishAsync();
        }

        string folder = Directory.CreateTempSubdirectory("bs-").FullName;
        try
        {
            File.CreateSymbolicLink(Path.Combine(folder, "streamshost"), Cli.Program);
            await File.WriteAllTextAsync(Path.Combine(folder, "target.crt"), string.Empty, TestContext.Current.CancellationToken);
            setup = $"cd {folder}; export PATH={folder}:\"$PATH\"; {setup}";

            // A whole word is followed by a space, and what goes on is not.
            await EqualAsync("streamshost relay here", "streamshost rel");
            await EqualAsync("streamshost relay --client-ca here", "streamshost relay --cl");
            await EqualAsync("streamshost check --ByteStreams:Endpoints:a:Url=here", "streamshost check --ByteStreams:Endpoints:a:Ur");
            await EqualAsync("streamshost relay --cert target.crt here", "streamshost relay --cert targ");

            if (shell[0] == "bash")
            {
                // In the middle of a word only what is before the cursor counts: Control-B goes back, and x comes after all that is typed then.
                await EqualAsync("streamshost relayhere", "streamshost rex\u0002");
                await EqualAsync("streamshost check --ByteStreams:Endpoints:a:Url=here", "streamshost check --ByteStreams:Endpoints:a:Urx\u0002");
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        async Task EqualAsync(string expected, string typed)
        {
            await using Peer terminal = Peer.StartPython("complete.py", [setup, typed, .. shell]);
            Assert.Equal(expected.Replace(' ', '\n') + "\n", await terminal.FinishAsync());
        }
    }
}
