using ByteStreams.Configuration;
using static ByteStreams.Configuration.Settings;

namespace StreamsHost.Admin;

/// <summary>Every key of the section <c>Admin</c>: reading, messages, documentation and schema come from here.</summary>
internal static class AdminTable
{
    /// <summary>Health, metrics, the status page and the operator's requests, over HTTP. It is read when the host starts.</summary>
    public const string Section = "Admin";

    /// <summary>The section on the page of all keys, and in the schema.</summary>
    public static OtherSection Documented => new(Section, typeof(AdminTable), nameof(Section), Table);

    public static SettingTable<AdminOptions> Table { get; } = new(
        List<AdminOptions>(nameof(AdminOptions.Url), "http://host:port, unix:/path or unix:@name", o => o.Url),
        List<AdminOptions>(nameof(AdminOptions.AllowedHosts), "host names", o => o.AllowedHosts),
        Flag<AdminOptions>(nameof(AdminOptions.AllowChanges), o => o.AllowChanges, (o, v) => o.AllowChanges = v),
        FileMode<AdminOptions>(nameof(AdminOptions.UnixSocketMode), o => o.UnixSocketMode, (o, v) => o.UnixSocketMode = v),
        Text<AdminOptions>(nameof(AdminOptions.UnixSocketGroup), "a group's name or number", o => o.UnixSocketGroup, (o, v) => o.UnixSocketGroup = v))
    { CanBeDisabled = true };
}
