using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary>Prints the script that completes the program's arguments in a shell.</summary>
internal sealed class CompletionCommand : HostSubcommand
{
    private readonly Argument<string> _shell = new("SHELL") { Description = "The shell: bash, zsh or fish." };

    public CompletionCommand()
        : base(
            "completion",
            "Prints the script that completes commands, options and configuration keys in a shell.",
            "completion bash > /usr/share/bash-completion/completions/streamshost",
            "completion zsh > /usr/share/zsh/site-functions/_streamshost",
            "completion fish > ~/.config/fish/completions/streamshost.fish")
    {
        _shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        Add(_shell);
        SetAction(parsed => parsed.InvocationConfiguration.Output.Write(EmbeddedText.Read($"Completion/streamshost.{parsed.GetRequiredValue(_shell)}")));
    }

    public override bool TakesConfiguration => false;
}
