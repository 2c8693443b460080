namespace StreamsHost.Commands;

/// <summary>Prints the manual page. Its texts of commands and options are those of <c>--help</c>.</summary>
internal sealed class ManualCommand : HostSubcommand
{
    public ManualCommand(HostCommand root)
        : base("man", "Prints the manual page, streamshost(1), for man.", "man > /usr/share/man/man1/streamshost.1", "man | man -l -") =>
        SetAction(parsed => parsed.InvocationConfiguration.Output.Write(ManualPage.Write(root)));

    public override bool TakesConfiguration => false;
}
