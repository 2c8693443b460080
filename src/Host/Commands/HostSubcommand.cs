using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary>A command, with examples for its help.</summary>
internal abstract class HostSubcommand(string name, string description, params IReadOnlyList<string> examples) : Command(name, description)
{
    /// <summary>Command lines without the program's name.</summary>
    public IReadOnlyList<string> Examples => examples;

    /// <summary>Whether configuration keys may stand among its arguments.</summary>
    public virtual bool TakesConfiguration => true;
}
