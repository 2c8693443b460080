namespace ByteStreams;

/// <summary>The result of <see cref="ByteStreamServers.ReloadAsync"/>.</summary>
/// <param name="Added">The number of endpoints that were added.</param>
/// <param name="Removed">The number of endpoints that were removed.</param>
/// <param name="Changed">The number of endpoints that serve new connections with changed settings.</param>
/// <param name="Errors">One line for each error: the key, the cause, the remedy. If there are any, nothing has changed. They are logged.</param>
public sealed record ReloadReport(int Added, int Removed, int Changed, IReadOnlyList<string> Errors);
