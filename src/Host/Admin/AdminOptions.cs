namespace StreamsHost.Admin;

/// <summary>The host's HTTP side: health, metrics, the status page.</summary>
internal sealed class AdminOptions
{
    /// <summary>
    /// Where it listens, one or several: <c>http://host:port</c> (<c>*</c> is all interfaces, port 0 a free one), <c>unix:/path</c>, or <c>unix:@name</c>. It
    /// asks nobody who they are: whoever reaches it sees who is connected.
    /// </summary>
    public IList<string> Url { get; } = ["http://127.0.0.1:7000"];

    /// <summary>
    /// Names under which browsers may ask, beside addresses and <c>localhost</c>. On a loopback address others are refused, so that no web site
    /// can reach the page by a name that it lets point there (DNS rebinding); elsewhere they are where this is set.
    /// </summary>
    public IList<string> AllowedHosts { get; } = [];

    /// <summary>Whether <c>POST /drain</c> and <c>DELETE /connections/ID</c> do something, for whoever reaches it.</summary>
    public bool AllowChanges { get; set; }

    /// <summary>The mode of a Unix socket's file.</summary>
    public UnixFileMode? UnixSocketMode { get; set; } = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite;

    /// <summary>The group of a Unix socket's file, by name or number.</summary>
    public string? UnixSocketGroup { get; set; }
}
