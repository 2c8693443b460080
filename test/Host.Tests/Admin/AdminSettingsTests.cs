using Microsoft.Extensions.Configuration;
using StreamsHost.Admin;

namespace StreamsHost.Tests.Admin;

public class AdminSettingsTests
{
    [Fact]
    public void Read_Nothing_ListensOnLoopbackAndChangesNothing()
    {
        AdminSettings settings = Read();

        Assert.Empty(settings.Errors);
        Assert.True(settings.IsEnabled);
        Assert.Equal("tcp://127.0.0.1:7000", Assert.Single(settings.Urls).ToString());
        Assert.False(settings.Options.AllowChanges);
    }

    [Theory]
    [InlineData("http://[::1]:7000", "tcp://[::1]:7000")]
    [InlineData("http://*:0", "tcp://*:0")]
    [InlineData("HTTP://localhost:80/", "tcp://localhost:80")]
    [InlineData("unix:/run/admin.sock", "unix:/run/admin.sock")]
    [InlineData("unix:@admin", "unix:@admin")]
    public void Read_Url_IsTaken(string url, string parsed) => Assert.Equal(parsed, Assert.Single(Read(("Url", url)).Urls).ToString());

    [Fact]
    public void Read_SeveralUrls_AreTakenAsAListOrAsOneText()
    {
        Assert.Equal(2, Read(("Url", "http://127.0.0.1:7000, unix:/run/admin.sock")).Urls.Count);
        Assert.Equal(2, Read(("Url:0", "http://127.0.0.1:7000"), ("Url:1", "unix:/run/admin.sock")).Urls.Count);
    }

    [Theory]
    [Trait("Fault", "F45")]
    [InlineData("Utl", "x", "Admin:Utl: there is no such key. Did you mean 'Url'?")]
    [InlineData("AllowChange", "true", "Admin:AllowChange: there is no such key. Did you mean 'AllowChanges'?")]
    [InlineData("AllowChanges", "yes", "Admin:AllowChanges: 'yes' is not valid. It takes true or false.")]
    [InlineData("Enabled", "no", "Admin:Enabled: 'no' is not valid. It takes true or false.")]
    [InlineData("Url", "127.0.0.1:7000", "Admin:Url: '127.0.0.1:7000' has no known scheme. Write http://host:port, unix:/path or unix:@name.")]
    [InlineData("Url", "http://127.0.0.1", "Admin:Url: 'http://127.0.0.1' has no port. Write http://host:port; port 0 takes a free one.")]
    [InlineData("Url", "http://a b:1", "Admin:Url: 'http://a b:1' has the host 'a b', which is no name and no address. Write http://host:port, unix:/path or unix:@name.")]
    [InlineData("Url", "https://127.0.0.1:7000", "Admin:Url: 'https://127.0.0.1:7000' is HTTPS, which is not supported here. Write http://host:port, unix:/path or unix:@name, and put an endpoint with TLS and the handler relay in front of it.")]
    [InlineData("Url", "unix:run/admin.sock", "Admin:Url: 'unix:run/admin.sock' is a relative path, which would depend on where the program is started. Write unix:/path with the whole path.")]
    [InlineData("Url", "", "Admin:Url: has no URL. Write http://host:port, unix:/path or unix:@name, or set Admin:Enabled to false.")]
    [InlineData("AllowedHosts", "https://status.example", "Admin:AllowedHosts: 'https://status.example' is not a host name. Write the name alone, such as status.example: no scheme, no port, no *.")]
    [InlineData("UnixSocketMode", "999", "Admin:UnixSocketMode: '999' is not valid. It takes an octal file mode such as 0660.")]
    public void Read_InvalidSetting_IsOneLineWithKeyCauseAndRemedy(string key, string value, string error) =>
        Assert.Equal(error, Assert.Single(Read((key, value)).Errors));

    [Fact]
    public void Read_Disabled_ListensNowhere()
    {
        AdminSettings settings = Read(("Enabled", "false"), ("Url", "http://*:7000"));

        Assert.Empty(settings.Errors);
        Assert.Empty(settings.Urls);
    }

    private static AdminSettings Read(params (string Key, string Value)[] settings) => AdminSettings.Read(
        new ConfigurationBuilder().AddInMemoryCollection(settings.Select(pair => KeyValuePair.Create($"Admin:{pair.Key}", (string?)pair.Value))).Build());
}
