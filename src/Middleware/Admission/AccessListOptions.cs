using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Unix;

namespace ByteStreams;

/// <summary>
/// Which clients may connect, by address, and by user on Unix sockets. With PROXY headers the address is that of the client that they name,
/// and the user that of the proxy. Empty lists allow all clients.
/// </summary>
public sealed class AccessListOptions
{
    /// <summary>
    /// Networks that may connect, such as <c>10.0.0.0/8</c> or <c>::1</c>; <c>unix</c> stands for Unix sockets. All where the list is empty.
    /// <c>::/0</c> is every IPv6 address and no IPv4 address, and <c>::ffff:10.0.0.0/104</c> is <c>10.0.0.0/8</c>.
    /// </summary>
    public IList<string> Allow { get; } = [];

    /// <summary>Networks that may not, also where <see cref="Allow"/> has them.</summary>
    public IList<string> Deny { get; } = [];

    /// <summary>Users that may connect to a Unix socket, by name or number. All where this and <see cref="AllowedGroups"/> are empty.</summary>
    public IList<string> AllowedUsers { get; } = [];

    /// <summary>Groups whose processes may connect to a Unix socket, by name or number: the process's own group, not its supplementary ones.</summary>
    public IList<string> AllowedGroups { get; } = [];

    /// <exception cref="ArgumentException">Anything is wrong; the message tells it all.</exception>
    internal void Validate() => ValidationErrors.ThrowIfAny(GetErrors());

    /// <summary>What is wrong; each begins with its key.</summary>
    internal IEnumerable<string> GetErrors() =>
    [
        .. NetworkList.GetErrors(Allow, "Access:Allow"), .. NetworkList.GetErrors(Deny, "Access:Deny"),
        .. Unknown(nameof(AllowedUsers), AllowedUsers, UnixAccounts.GetUserId), .. Unknown(nameof(AllowedGroups), AllowedGroups, UnixAccounts.GetGroupId),
    ];

    private static List<string> Unknown(string key, IEnumerable<string> names, Func<string, uint> number)
    {
        var errors = new List<string>();
        foreach (string name in names)
        {
            try
            {
                _ = number(name);
            }
            catch (IOException unknown)
            {
                errors.Add($"Access:{key}: {unknown.Message}");
            }
        }

        return errors;
    }
}
