namespace StreamsHost.Admin;

/// <summary>The options of the host's HTTP side: health, metrics and the status page.</summary>
internal sealed class AdminOptions
{
    /// <summary>The HTTP side: health checks, metrics, the status page and operators' requests. A change needs a restart.</summary>
    public const string Section = "Admin";

    /// <summary>
    /// The URLs to listen on: <c>http://host:port</c> (<c>*</c> is all interfaces, port 0 a free port), <c>unix:/path</c>, or <c>unix:@name</c>. There is no
    /// authentication: every client that can connect sees the open connections.
    /// </summary>
    public IList<string> Url { get; } = ["http://127.0.0.1:7000"];

    /// <summary>
    /// Host names that requests may have, in addition to addresses and <c>localhost</c>. On a loopback address all others are refused, so that no
    /// web site reaches the page through a name that it resolves to this machine (DNS rebinding). On other addresses they are refused if this is set.
    /// </summary>
    public IList<string> AllowedHosts { get; } = [];

    /// <summary>Whether <c>POST /drain</c> and <c>DELETE /connections/ID</c> are allowed, for every client that can connect.</summary>
    public bool AllowChanges { get; set; }

    /// <summary>The mode of a Unix socket's file.</summary>
    public UnixFileMode? UnixSocketMode { get; set; } = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite;

    /// <summary>The group of a Unix socket's file, by name or number.</summary>
    public string? UnixSocketGroup { get; set; }
}
