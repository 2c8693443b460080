using ByteStreams.Admission;
using ByteStreams.Transport;

namespace ByteStreams;

/// <summary>
/// Which clients may connect, by address, and by user on Unix sockets. Behind PROXY headers the address is the client's that they
/// name. Empty lists allow everybody.
/// </summary>
public sealed class AccessListOptions
{
    /// <summary>Networks that may connect, such as <c>10.0.0.0/8</c> or <c>::1</c>; <c>unix</c> stands for Unix sockets. All where the list is empty.</summary>
    public IList<string> Allow { get; } = [];

    /// <summary>Networks that may not, also where <see cref="Allow"/> has them.</summary>
    public IList<string> Deny { get; } = [];

    /// <summary>Users that may connect to a Unix socket, by name or number. All where this and <see cref="AllowedGroups"/> are empty.</summary>
    public IList<string> AllowedUsers { get; } = [];

    /// <summary>Groups whose processes may connect to a Unix socket, by name or number: the process's own group, not its supplementary ones.</summary>
    public IList<string> AllowedGroups { get; } = [];

    internal void Validate()
    {
        _ = NetworkList.Parse(Allow, "Access:Allow");
        _ = NetworkList.Parse(Deny, "Access:Deny");
        Check(nameof(AllowedUsers), AllowedUsers, UnixAccounts.User);
        Check(nameof(AllowedGroups), AllowedGroups, UnixAccounts.Group);
    }

    private static void Check(string key, IEnumerable<string> names, Func<string, uint> number)
    {
        foreach (string name in names)
        {
            try
            {
                _ = number(name);
            }
            catch (IOException unknown)
            {
                throw new ArgumentException($"Access:{key}: {unknown.Message}", unknown);
            }
        }
    }
}
