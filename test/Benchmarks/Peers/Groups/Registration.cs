namespace Benchmarks.Groups;

/// <summary>What a receiver does with its connection.</summary>
/// <param name="name">none, connection, user or group: each does what the one before does, and more.</param>
internal sealed class Registration(string name)
{
    private int _lastUser;

    public bool IsRegistered => name != "none";

    public bool Joins => name == "group";

    /// <summary>A user for each connection; null for none.</summary>
    public string? NextUser() =>
        name is "user" or "group" ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"user-{Interlocked.Increment(ref _lastUser)}") : null;
}
