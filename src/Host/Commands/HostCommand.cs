using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary>The command line. Without a command, the host runs.</summary>
internal static class HostCommand
{
    public static RootCommand Create()
    {
        var root = new RootCommand("Hosts byte-stream services on TCP and Unix sockets.")
        {
            // What is left are configuration keys: --ByteStreams:Endpoints:echo:Url=tcp://*:7007
            TreatUnmatchedTokensAsErrors = false,
        };
        Command run = RunCommand.Create();
        root.Add(run);
        root.Action = run.Action;
        return root;
    }
}
