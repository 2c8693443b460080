using System.Net;

namespace ByteStreams;

/// <summary>An address within this process: a connection to it reaches the server that listens on an equal address.</summary>
/// <param name="name">The name; equal names are equal addresses.</param>
public sealed class InMemoryEndPoint(string name) : EndPoint
{
    /// <summary>The name.</summary>
    public string Name { get; } = name;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is InMemoryEndPoint other && other.Name == Name;

    /// <inheritdoc/>
    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Name);

    /// <inheritdoc/>
    public override string ToString() => $"memory:{Name}";
}
