namespace ByteStreams;

/// <summary>A group at one moment.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Members">The number of connections that have joined it.</param>
public sealed record GroupSnapshot(string Name, int Members);
