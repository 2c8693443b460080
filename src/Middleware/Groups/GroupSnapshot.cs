namespace ByteStreams;

/// <summary>A snapshot of a group on this host.</summary>
/// <param name="Name">The group's name.</param>
/// <param name="Members">The number of members on this host.</param>
public sealed record GroupSnapshot(string Name, int Members);
