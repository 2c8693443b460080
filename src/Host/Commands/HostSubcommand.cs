using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary>A command, with examples for its help.</summary>
internal abstract class HostSubcommand(string name, string description, params IReadOnlyList<string> examples) : Command(name, description)
{
    /// <summary>Examples, without the program's name.</summary>
    public IReadOnlyList<string> Examples => examples;

    /// <summary>Whether the command accepts configuration keys.</summary>
    public virtual bool TakesConfiguration => true;
}
