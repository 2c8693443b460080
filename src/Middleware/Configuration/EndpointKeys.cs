using System.Globalization;

namespace ByteStreams.Configuration;

/// <summary>One key under <c>ByteStreams:Endpoints:&lt;name&gt;</c>: its name, what it takes, and how it reaches the options.</summary>
/// <param name="Name">As in the file; case does not matter.</param>
/// <param name="Takes">What a value may be, for error messages.</param>
/// <param name="TryApply">Sets the option; false if the text is no such value.</param>
internal sealed record EndpointKey(string Name, string Takes, Func<string, ByteStreamServerOptions, bool> TryApply);

/// <summary>Every key that sets an option. One table, so that reading, validation and messages cannot disagree.</summary>
internal static class EndpointKeys
{
    public const string Url = "Url";
    public const string Handler = "Handler";

    private static readonly long MostMilliseconds = int.MaxValue;

    public static IReadOnlyList<EndpointKey> All { get; } =
    [
        Number(nameof(ByteStreamServerOptions.Limit), 1, int.MaxValue, (options, value) => options.Limit = value),
        Number(nameof(ByteStreamServerOptions.Backlog), 1, int.MaxValue, (options, value) => options.Backlog = value),
        Flag(nameof(ByteStreamServerOptions.ReuseAddress), (options, value) => options.ReuseAddress = value),
        Flag(nameof(ByteStreamServerOptions.ReusePort), (options, value) => options.ReusePort = value),
        Flag(nameof(ByteStreamServerOptions.IPv6Only), (options, value) => options.IPv6Only = value),
        Choice<ByteStreamEngine>(nameof(ByteStreamServerOptions.Engine), (options, value) => options.Engine = value),
        Number(nameof(ByteStreamServerOptions.EventLoops), 1, 1024, (options, value) => options.EventLoops = value),
        Flag(nameof(ByteStreamServerOptions.NoDelay), (options, value) => options.NoDelay = value),
        Flag(nameof(ByteStreamServerOptions.KeepAlive), (options, value) => options.KeepAlive = value),
        Duration(nameof(ByteStreamServerOptions.KeepAliveTime), 1000, (options, value) => options.KeepAliveTime = value),
        Duration(nameof(ByteStreamServerOptions.KeepAliveInterval), 1000, (options, value) => options.KeepAliveInterval = value),
        Number(nameof(ByteStreamServerOptions.KeepAliveCount), 1, 127, (options, value) => options.KeepAliveCount = value),
        Number(nameof(ByteStreamServerOptions.ReceiveBufferSize), 1, int.MaxValue, (options, value) => options.ReceiveBufferSize = value),
        Number(nameof(ByteStreamServerOptions.SendBufferSize), 1, int.MaxValue, (options, value) => options.SendBufferSize = value),
        Number(nameof(ByteStreamServerOptions.WriteBufferHighWater), 0, int.MaxValue, (options, value) => options.WriteBufferHighWater = value),
        Number(nameof(ByteStreamServerOptions.WriteBufferLowWater), 0, int.MaxValue, (options, value) => options.WriteBufferLowWater = value),
        Number(nameof(ByteStreamServerOptions.MaxReceiveBlock), 4096, int.MaxValue, (options, value) => options.MaxReceiveBlock = value),
        Duration(nameof(ByteStreamServerOptions.LingerTimeout), 0, (options, value) => options.LingerTimeout = value),
        Number(nameof(ByteStreamServerOptions.LingerBytes), 0, int.MaxValue, (options, value) => options.LingerBytes = value),
        new(nameof(ByteStreamServerOptions.UnixSocketMode), "an octal file mode such as 0660", TryMode),
        new(nameof(ByteStreamServerOptions.UnixSocketGroup), "a group's name or number", static (text, options) =>
        {
            options.UnixSocketGroup = text;
            return text.Length > 0;
        }),
    ];

    /// <summary>The known key that is nearest to a misspelt one; null where none is near.</summary>
    public static string? Nearest(string name, IEnumerable<string> known) => known
        .Select(candidate => (candidate, distance: Distance(name.ToUpperInvariant(), candidate.ToUpperInvariant())))
        .Where(pair => pair.distance <= Math.Max(2, name.Length / 3))
        .OrderBy(pair => pair.distance)
        .Select(pair => pair.candidate)
        .FirstOrDefault();

    private static EndpointKey Number(string name, int least, int most, Action<ByteStreamServerOptions, int> set) => new(
        name,
        most == int.MaxValue
            ? string.Create(CultureInfo.InvariantCulture, $"a whole number, at least {least}")
            : string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}"),
        (text, options) =>
        {
            if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < least || value > most)
            {
                return false;
            }

            set(options, value);
            return true;
        });

    private static EndpointKey Flag(string name, Action<ByteStreamServerOptions, bool> set) => new(name, "true or false", (text, options) =>
    {
        if (!bool.TryParse(text, out bool value))
        {
            return false;
        }

        set(options, value);
        return true;
    });

    private static EndpointKey Choice<TChoice>(string name, Action<ByteStreamServerOptions, TChoice> set)
        where TChoice : struct, Enum => new(
        name,
        $"one of {string.Join(", ", Enum.GetNames<TChoice>())}",
        (text, options) =>
        {
            // A number would be taken for a name as well.
            if (!Enum.TryParse(text, ignoreCase: true, out TChoice value) || !Enum.GetNames<TChoice>().Contains(text, StringComparer.OrdinalIgnoreCase))
            {
                return false;
            }

            set(options, value);
            return true;
        });

    private static EndpointKey Duration(string name, long leastMilliseconds, Action<ByteStreamServerOptions, TimeSpan> set) => new(
        name,
        leastMilliseconds == 0 ? "a time such as 00:00:02, zero or more" : $"a time such as 00:01:00, at least {TimeSpan.FromMilliseconds(leastMilliseconds):c}",
        (text, options) =>
        {
            if (!TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan value)
                || value.TotalMilliseconds < leastMilliseconds
                || value.TotalMilliseconds > MostMilliseconds)
            {
                return false;
            }

            set(options, value);
            return true;
        });

    private static bool TryMode(string text, ByteStreamServerOptions options)
    {
        int mode = 0;
        foreach (char digit in text)
        {
            if (digit is < '0' or > '7' || mode > 0x1FF)
            {
                return false;
            }

            mode = (mode * 8) + (digit - '0');
        }

        options.UnixSocketMode = (UnixFileMode)mode;
        return text.Length > 0 && mode <= 0x1FF;
    }

    /// <summary>Levenshtein's distance, on the one row that it needs.</summary>
    private static int Distance(string left, string right)
    {
        int[] row = [.. Enumerable.Range(0, right.Length + 1)];
        for (int i = 1; i <= left.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int above = row[j];
                row[j] = left[i - 1] == right[j - 1] ? diagonal : 1 + Math.Min(diagonal, Math.Min(above, row[j - 1]));
                diagonal = above;
            }
        }

        return row[right.Length];
    }
}
