namespace Benchmarks.Groups;

/// <summary>The registration of a receiver's connection.</summary>
/// <param name="name">none, connection, user or group; each includes the one before.</param>
internal sealed class Registration(string name)
{
    private int _lastUser;

    public bool IsRegistered => name != "none";

    public bool Joins => name == "group";

    /// <summary>Returns a new user for each connection; null if connections have no user.</summary>
    public string? NextUser() =>
        name is "user" or "group" ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"user-{Interlocked.Increment(ref _lastUser)}") : null;
}
