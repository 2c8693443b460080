using ByteStreams.Configuration;
using ByteStreams.Transport.Addresses;

namespace StreamsHost.Admin;

/// <summary>The section <c>Admin</c> as it was read, and what is wrong with it.</summary>
internal sealed class AdminSettings
{
    private AdminSettings(AdminOptions options, bool isEnabled, IReadOnlyList<EndpointUrl> urls, IReadOnlyList<string> mistakes)
    {
        Options = options;
        IsEnabled = isEnabled;
        Urls = urls;
        Mistakes = mistakes;
    }

    public AdminOptions Options { get; }

    public bool IsEnabled { get; }

    /// <summary>Where it listens.</summary>
    public IReadOnlyList<EndpointUrl> Urls { get; }

    /// <summary>One line for each mistake: the key, the cause, the remedy.</summary>
    public IReadOnlyList<string> Mistakes { get; }

    public static AdminSettings Read(IConfiguration configuration)
    {
        var state = new SectionState<AdminOptions>();
        var mistakes = new List<string>();
        AdminTable.Table.Read(configuration.GetSection(AdminTable.Section), state, mistakes);
        if (!state.IsEnabled)
        {
            return new AdminSettings(state.Options, false, [], mistakes);
        }

        var urls = new List<EndpointUrl>();
        foreach (string text in state.Options.Url)
        {
            if (AdminUrl.Parse(text, out string? wrong) is EndpointUrl url)
            {
                urls.Add(url);
            }
            else
            {
                mistakes.Add($"{AdminTable.Section}:{nameof(AdminOptions.Url)}: {wrong}");
            }
        }

        if (state.Options.Url.Count == 0)
        {
            mistakes.Add($"{AdminTable.Section}:{nameof(AdminOptions.Url)}: names no address. Write {AdminUrl.Forms}, or set {AdminTable.Section}:{SettingTable.Enabled} to false.");
        }

        foreach (string host in state.Options.AllowedHosts.Where(host => Uri.CheckHostName(host) == UriHostNameType.Unknown))
        {
            mistakes.Add(
                $"{AdminTable.Section}:{nameof(AdminOptions.AllowedHosts)}: '{host}' is no host name. Write the name alone, such as status.example: no scheme, no port, no *.");
        }

        return new AdminSettings(state.Options, true, urls, mistakes);
    }
}
