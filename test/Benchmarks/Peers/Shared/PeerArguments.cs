using System.Globalization;

namespace Benchmarks;

/// <summary>What every server is told: where it serves what. Nothing is served where nothing is given.</summary>
internal sealed class PeerArguments
{
    private readonly Dictionary<string, string> _values = [];
    private readonly HashSet<string> _switches = [];

    /// <param name="args">--name value pairs, and the names in <paramref name="switches"/> alone.</param>
    /// <param name="switches">The server's own switches.</param>
    /// <param name="options">The server's own names that take a value.</param>
    public PeerArguments(string[] args, string[]? switches = null, string[]? options = null)
    {
        switches ??= [];
        string[] names = ["--line", "--frame", "--unix", "--unix-frame", "--block", "--threads", "--tls", "--certificate", "--key",
            "--upstream", "--upstream-frame", .. options ?? []];
        for (int i = 0; i < args.Length; i++)
        {
            if (switches.Contains(args[i]))
            {
                _switches.Add(args[i]);
            }
            else if (names.Contains(args[i]) && i + 1 < args.Length)
            {
                _values[args[i]] = args[++i];
            }
            else
            {
                throw new ArgumentException($"'{args[i]}' is no option of this server, or has no value.", nameof(args));
            }
        }
    }

    public int? Line => Number("--line");

    public int? Frame => Number("--frame");

    public int? Block => Number("--block");

    /// <summary>Frames within TLS.</summary>
    public int? Tls => Number("--tls");

    /// <summary>The certificate and its key, both PEM.</summary>
    public string? Certificate => Value("--certificate");

    public string? Key => Value("--key");

    public string? Unix => Value("--unix");

    public string? UnixFrame => Value("--unix-frame");

    /// <summary>A relay's: the Unix socket that lines are passed on to. Then nothing is echoed here.</summary>
    public string? Upstream => Value("--upstream");

    /// <summary>The Unix socket that frames are passed on to.</summary>
    public string? UpstreamFrame => Value("--upstream-frame");

    /// <summary>Event loops, where the server has such a number; the thread pool sizes itself by the processors it may use.</summary>
    public int Threads => Number("--threads") ?? 1;

    public string? Value(string name) => _values.GetValueOrDefault(name);

    /// <summary>The port of an endpoint that the server has to have.</summary>
    public int Port(string name) => Number(name) ?? throw new ArgumentException($"'{name}' is missing.");

    public bool Has(string name) => _switches.Contains(name);

    private int? Number(string name) => _values.TryGetValue(name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}
