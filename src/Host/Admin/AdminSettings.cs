using ByteStreams;

namespace StreamsHost.Admin;

/// <summary>The section <c>Admin</c> as it was read, and its errors.</summary>
internal sealed class AdminSettings
{
    /// <summary>The key that disables the HTTP side.</summary>
    public const string Enabled = "Enabled";

    private static readonly string[] Keys =
    [
        Enabled, nameof(AdminOptions.Url), nameof(AdminOptions.AllowedHosts), nameof(AdminOptions.AllowChanges),
        nameof(AdminOptions.UnixSocketMode), nameof(AdminOptions.UnixSocketGroup),
    ];

    private readonly List<string> _errors = [];
    private readonly List<EndpointUrl> _urls = [];

    private AdminSettings(IConfigurationSection section)
    {
        if (!string.IsNullOrEmpty(section.Value))
        {
            _errors.Add($"{section.Path}: '{section.Value}' is not valid. It takes a section of keys, not one value.");
        }

        foreach (IConfigurationSection child in section.GetChildren())
        {
            Read(child);
        }

        if (IsEnabled)
        {
            Validate();
        }
    }

    public AdminOptions Options { get; } = new();

    public bool IsEnabled { get; private set; } = true;

    /// <summary>The URLs to listen on; empty if the HTTP side is disabled.</summary>
    public IReadOnlyList<EndpointUrl> Urls => _urls;

    /// <summary>One line for each error: the key, the cause, the remedy.</summary>
    public IReadOnlyList<string> Errors => _errors;

    public static AdminSettings Read(IConfiguration configuration) => new(configuration.GetSection(AdminOptions.Section));

    private void Read(IConfigurationSection child)
    {
        switch (Array.Find(Keys, key => key.Equals(child.Key, StringComparison.OrdinalIgnoreCase)))
        {
            case Enabled:
                IsEnabled = ReadFlag(child) ?? IsEnabled;
                break;
            case nameof(AdminOptions.Url):
                ReadList(child, Options.Url);
                break;
            case nameof(AdminOptions.AllowedHosts):
                ReadList(child, Options.AllowedHosts);
                break;
            case nameof(AdminOptions.AllowChanges):
                Options.AllowChanges = ReadFlag(child) ?? Options.AllowChanges;
                break;
            case nameof(AdminOptions.UnixSocketMode):
                Options.UnixSocketMode = ReadMode(child) ?? Options.UnixSocketMode;
                break;
            case nameof(AdminOptions.UnixSocketGroup):
                Options.UnixSocketGroup = ReadText(child, "a group's name or number") ?? Options.UnixSocketGroup;
                break;
            default:
                string hint = ByteStreamConfiguration.FindNearest(child.Key, Keys) is string nearest ? $"Did you mean '{nearest}'?" : $"Known are {string.Join(", ", Keys)}.";
                _errors.Add($"{child.Path}: there is no such key. {hint}");
                break;
        }
    }

    private bool? ReadFlag(IConfigurationSection child) => ReadValue<bool>(child, "true or false", bool.TryParse);

    private UnixFileMode? ReadMode(IConfigurationSection child) => ReadValue<UnixFileMode>(child, "an octal file mode such as 0660", TryParseMode);

    private string? ReadText(IConfigurationSection child, string takes)
    {
        if (child is { Value: { Length: > 0 } text })
        {
            return text;
        }

        Refuse(child, takes);
        return null;
    }

    private T? ReadValue<T>(IConfigurationSection child, string takes, TryParse<T> tryParse)
        where T : struct
    {
        if (child.Value is string text && tryParse(text, out T value))
        {
            return value;
        }

        Refuse(child, takes);
        return null;
    }

    private void Refuse(IConfigurationSection child, string takes) => _errors.Add(child.Value is null
        ? $"{child.Path}: takes one value, not a section."
        : $"{child.Path}: '{child.Value}' is not valid. It takes {takes}.");

    /// <summary>Reads an array, or one text with commas, which wins. It replaces the default.</summary>
    private void ReadList(IConfigurationSection child, IList<string> list)
    {
        list.Clear();
        foreach (string? item in child.Value is { Length: > 0 } text
            ? text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            : child.GetChildren().Select(item => item.Value))
        {
            if (item is null)
            {
                _errors.Add($"{child.Path}: takes values, not sections.");
            }
            else
            {
                list.Add(item);
            }
        }
    }

    private void Validate()
    {
        const string UrlKey = $"{AdminOptions.Section}:{nameof(AdminOptions.Url)}";
        foreach (string text in Options.Url)
        {
            if (AdminUrl.TryParse(text, out EndpointUrl? url, out string? error))
            {
                _urls.Add(url);
            }
            else
            {
                _errors.Add($"{UrlKey}: {error}");
            }
        }

        if (Options.Url.Count == 0)
        {
            _errors.Add($"{UrlKey}: has no URL. Write {AdminUrl.Forms}, or set {AdminOptions.Section}:{Enabled} to false.");
        }

        foreach (string host in Options.AllowedHosts.Where(host => Uri.CheckHostName(host) == UriHostNameType.Unknown))
        {
            _errors.Add(
                $"{AdminOptions.Section}:{nameof(AdminOptions.AllowedHosts)}: '{host}' is not a host name. Write the name alone, such as status.example: no scheme, no port, no *.");
        }
    }

    private static bool TryParseMode(string text, out UnixFileMode mode)
    {
        bool isOctal = text.Length is > 0 and <= 4 && !text.AsSpan().ContainsAnyExceptInRange('0', '7');
        mode = isOctal ? (UnixFileMode)Convert.ToInt32(text, 8) : default;
        return isOctal && (int)mode <= 0x1FF;
    }

    private delegate bool TryParse<T>(string text, out T value);
}
