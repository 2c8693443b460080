using System.Net.Sockets;
using System.Text;

namespace ByteStreams.Transport.Unix;

/// <summary>Converts Unix socket addresses to and from text: a path, or <c>@name</c> in Linux's abstract namespace (U4).</summary>
internal static class UnixSocketPath
{
    /// <summary>The bytes of <c>sun_path</c> without the final zero: 107 on Linux and Windows, 103 on macOS (unix(7), unix(4)).</summary>
    public static int MaxBytes => OperatingSystem.IsMacOS() || OperatingSystem.IsFreeBSD() ? 103 : 107;

    public static UnixDomainSocketEndPoint ToEndPoint(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        bool isAbstract = path[0] == '@';
        if (isAbstract && !OperatingSystem.IsLinux())
        {
            throw new PlatformNotSupportedException($"'{path}' is in the abstract namespace, which only Linux has; use a path.");
        }

        if (path.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException("A Unix socket's path has no zero byte; the abstract namespace is written @name.", nameof(path));
        }

        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes > MaxBytes)
        {
            throw new ArgumentException(
                $"The Unix socket path '{path}' is too long: {bytes} bytes, and the system's limit is {MaxBytes}. Use a shorter path.",
                nameof(path));
        }

        return new UnixDomainSocketEndPoint(isAbstract ? "\0" + path[1..] : path);
    }

    /// <summary>The text of an endpoint: <c>@name</c> in the abstract namespace.</summary>
    public static string ToPath(UnixDomainSocketEndPoint endPoint)
    {
        string text = endPoint.ToString();
        return text.Length > 0 && text[0] is '\0' or '@' ? "@" + text[1..] : text;
    }
}
