using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.FileProviders.Physical;
using Microsoft.Extensions.Primitives;
using Microsoft.Extensions.Time.Testing;
using StreamsHost.Configuration;

namespace StreamsHost.Tests.Configuration;

/// <summary>How soon a file that sends no events is seen to have changed: within a second, however it was replaced.</summary>
[Trait("Fault", "F78")]
public sealed class PolledFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("polled-").FullName;
    private readonly FakeTimeProvider _time = new();
    private readonly List<IDisposable> _watches = [];

    [Theory]
    [InlineData("in place")]
    [InlineData("renamed")]
    [InlineData("same time")]
    [InlineData("deleted")]
    public void Watch_FileChanges_IsReportedWithinASecondEachTime(string how)
    {
        string file = Path.Combine(_folder, "a.json");
        File.WriteAllText(file, "0");
        DateTime written = File.GetLastWriteTimeUtc(file);
        int reported = Watch("a.json");

        for (int i = 1; i <= 3; i++)
        {
            switch (how)
            {
                case "renamed":
                    File.WriteAllText(file + ".new", $"{i}");
                    File.Move(file + ".new", file, overwrite: true);
                    break;
                case "deleted" when i % 2 == 1:
                    File.Delete(file);
                    break;
                default:
                    File.WriteAllText(file, $"{i}");
                    break;
            }

            if (how == "same time")
            {
                File.SetLastWriteTimeUtc(file, written);
            }

            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(i, Reports[reported]);
            _time.Advance(TimeSpan.FromSeconds(10));
            Assert.Equal(i, Reports[reported]);
        }
    }

    /// <summary>As Kubernetes mounts a ConfigMap or a Secret: only the link of the folder is replaced.</summary>
    [Theory]
    [InlineData("a.json")]
    [InlineData("*")]
    public void Watch_LinkOfTheFolderIsReplaced_IsReportedWithinASecond(string filter)
    {
        Mount("one");
        File.CreateSymbolicLink(Path.Combine(_folder, "a.json"), Path.Combine("..data", "a.json"));
        int reported = Watch(filter);

        Mount("two");

        Assert.Equal(0, Reports[reported]);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, Reports[reported]);
    }

    [Fact]
    public void Watch_Disposed_LooksNoMore()
    {
        int reported = Watch("a.json");
        _watches[reported].Dispose();

        File.WriteAllText(Path.Combine(_folder, "a.json"), "1");
        _time.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(0, Reports[reported]);
    }

    /// <summary>On the timer's thread an exception ends the process: a secret that cannot be read did.</summary>
    [Fact]
    public void Watch_CallbackThrows_IsReportedAndTheNextChangeIsSeen()
    {
        var folder = new PolledFolder(new PhysicalFileProvider(_folder, ExclusionFilters.None), _time);
        var failures = new List<Exception>();
        folder.Failed = failures.Add;
        _watches.Add(ChangeToken.OnChange(() => folder.Watch("*"), () => throw new UnauthorizedAccessException("a.json")));

        for (int i = 1; i <= 2; i++)
        {
            File.WriteAllText(Path.Combine(_folder, "a.json"), $"{i}");
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(i, failures.Count);
        }
    }

    [Fact]
    public void TellUnreadable_SecretsCannotBeRead_IsRecorded()
    {
        using var configuration = new Microsoft.Extensions.Configuration.ConfigurationManager();
        string file = Path.Combine(_folder, "a.json");
        File.WriteAllText(file, $$"""{ "SecretsDirectory": "{{_folder}}" }""");
        HostConfiguration.AddSources(configuration, new HostArguments(file, []));
        var reasons = new List<string>();

        HostConfiguration.ReportUnreadable(configuration, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, reasons.Add);

        IList<Microsoft.Extensions.Configuration.IConfigurationSource> sources = ((Microsoft.Extensions.Configuration.IConfigurationBuilder)configuration).Sources;
        var secrets = (PolledFolder)sources.OfType<Microsoft.Extensions.Configuration.KeyPerFile.KeyPerFileConfigurationSource>().Single().FileProvider!;
        secrets.Failed!(new UnauthorizedAccessException("denied"));
        Assert.Equal(["denied"], reasons);
    }

    [Fact]
    public void AddSources_NamedFileAndSecrets_ArePolledFolders()
    {
        string file = Path.Combine(_folder, "a.json");
        File.WriteAllText(file, $$"""{ "SecretsDirectory": "{{_folder}}" }""");
        using var configuration = new Microsoft.Extensions.Configuration.ConfigurationManager();

        HostConfiguration.AddSources(configuration, new HostArguments(file, []));

        IList<Microsoft.Extensions.Configuration.IConfigurationSource> sources = ((Microsoft.Extensions.Configuration.IConfigurationBuilder)configuration).Sources;
        Assert.IsType<PolledFolder>(Assert.Single(sources.OfType<ConfigurationFile>()).FileProvider);
        Assert.IsType<PolledFolder>(Assert.Single(sources.OfType<Microsoft.Extensions.Configuration.KeyPerFile.KeyPerFileConfigurationSource>()).FileProvider);
    }

    public void Dispose()
    {
        _watches.ForEach(static watch => watch.Dispose());
        Directory.Delete(_folder, recursive: true);
    }

    private List<int> Reports { get; } = [];

    private int Watch(string filter)
    {
        var folder = new PolledFolder(new PhysicalFileProvider(_folder, ExclusionFilters.None), _time);
        int index = Reports.Count;
        Reports.Add(0);
        _watches.Add(ChangeToken.OnChange(() => folder.Watch(filter), () => Reports[index]++));
        return index;
    }

    private void Mount(string content)
    {
        string folder = $"..{Guid.NewGuid():N}";
        Directory.CreateDirectory(Path.Combine(_folder, folder));
        File.WriteAllText(Path.Combine(_folder, folder, "a.json"), content);
        string link = Path.Combine(_folder, "..data");
        File.Delete(link);
        Directory.CreateSymbolicLink(link, folder);
    }
}
