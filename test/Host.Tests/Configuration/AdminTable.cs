using ByteStreams.Configuration;
using StreamsHost.Admin;
using static ByteStreams.Configuration.Settings;

namespace StreamsHost.Tests.Configuration;

/// <summary>The keys of the section <c>Admin</c> for the generated page and schema; <see cref="AdminTableTests"/> compares them with the host.</summary>
internal static class AdminTable
{
    /// <summary>The section on the page of all keys, and in the schema.</summary>
    public static OtherSection Documented => new(AdminOptions.Section, typeof(AdminOptions), nameof(AdminOptions.Section), Table);

    public static SettingTable<AdminOptions> Table { get; } = new(
        List<AdminOptions>(nameof(AdminOptions.Url), "http://host:port, unix:/path or unix:@name", o => o.Url),
        List<AdminOptions>(nameof(AdminOptions.AllowedHosts), "host names", o => o.AllowedHosts),
        Flag<AdminOptions>(nameof(AdminOptions.AllowChanges), o => o.AllowChanges, (o, v) => o.AllowChanges = v),
        FileMode<AdminOptions>(nameof(AdminOptions.UnixSocketMode), o => o.UnixSocketMode, (o, v) => o.UnixSocketMode = v),
        Text<AdminOptions>(nameof(AdminOptions.UnixSocketGroup), "a group's name or number", o => o.UnixSocketGroup, (o, v) => o.UnixSocketGroup = v))
    { CanBeDisabled = true };
}
